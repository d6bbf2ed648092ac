//! Sums, maxima and other statistics along axes.

use super::{Class, Rule};

rules! {
    reassociating "aggregate-sum-single": "aggregate[statistic=sum, axes=?a](?x)" => "reshape[extents=extents(?@)](?x)", if "single(?x, ?a)",
        "The sum of one is that one, but for -0.";
    reassociating "aggregate-mean-single": "aggregate[statistic=mean, axes=?a](?x)" => "reshape[extents=extents(?@)](?x)", if "single(?x, ?a), float(?x)",
        "The mean of one is that one, but for -0.";
    exact "aggregate-max-single": "aggregate[statistic=max, axes=?a](?x)" => "reshape[extents=extents(?@)](?x)", if "single(?x, ?a)",
        "The largest of one is that one.";
    reassociating "pool-mean-single": "global_pool[pool=mean](?x)" => "?x", if "same_type(?x, ?@), float(?x)",
        "The mean of one is that one, but for -0.";
    reassociating "aggregate-reshape": "aggregate@r[axes=?a](reshape[extents=?e](?x))" => "reshape[extents=extents(?@)](aggregate@r[axes=unmerged(?x, ?e, ?a), keep=true](?x))", if "known(unmerged(?x, ?e, ?a))",
        "Axes that are all reduced need not be merged or split first. Means over the places of a picture are written so.";
    reassociating "aggregate-transpose": "aggregate@r[axes=?a, keep=true](transpose[perm=?p](?x))" => "transpose[perm=?p](aggregate@r[axes=sorted(compose(?a, ?p))](?x))",
        "Elements may be joined before they move, in the order in which they lie there.";
    reassociating "aggregate-transpose-gone": "aggregate@r[axes=?a, keep=false](transpose[perm=?p](?x))" => "aggregate@r[axes=sorted(compose(?a, ?p))](?x)", if "rest_in_order(?p, ?a)",
        "Elements may be joined where they lie, if what remains is in order.";
    reassociating "mean-broadcast": "aggregate[statistic=mean, axes=?a](broadcast[extents=?e](?x))" => "reshape[extents=extents(?@)](broadcast[extents=with_ones(?e, ?a)](?x))", if "float(?x), repeated(?x, ?e, ?a)",
        "The mean of repeated elements is the element.";
    exact "max-broadcast": "aggregate[statistic=max, axes=?a](broadcast[extents=?e](?x))" => "reshape[extents=extents(?@)](broadcast[extents=with_ones(?e, ?a)](?x))", if "repeated(?x, ?e, ?a)",
        "The largest of repeated elements is the element.";
    reassociating "sum-stack": "aggregate@r[statistic=sum, axes=?k](concat[axis=?c](?a, ?p..))" => "add(aggregate@r(?a), aggregate@r(concat[axis=?c](?p..)))", if "same(?k, [?c]), single(?a, ?k), wide(?a)",
        "Values that are stacked to be summed are added. Branches and ensembles are.";
    reassociating "mean-stack": "aggregate@r[statistic=mean, axes=?k](concat[axis=?c](?a, ?p..))" => "div(aggregate@r[statistic=sum](concat[axis=?c](?a, ?p..)), constant[value=total(?a, ?p, ?c)]())", if "same(?k, [?c]), single(?a, ?k), wide(?a)",
        "The mean is the sum over the count, and sums of stacked values are added.";
    exact "max-stack": "aggregate@r[statistic=max, axes=?k](concat[axis=?c](?a, ?p..))" => "max(aggregate@r(?a), aggregate@r(concat[axis=?c](?p..)))", if "same(?k, [?c]), single(?a, ?k), float(?a)",
        "The largest of stacked values is the larger of each and the rest.";
}
