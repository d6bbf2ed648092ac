//! Sums, maxima and other statistics along axes.

use super::{Class, Rule};

rules! {
    exact "reduce-max-single": "reduce[how=max, axes=?a](?x)" => "?x", if "single(?x, ?a)",
        "The largest of one is that one.";
    exact "aggregate-max-single": "aggregate[statistic=max, axes=?a](?x)" => "reshape[extents=extents(?@)](?x)", if "single(?x, ?a)",
        "The largest of one is that one.";
    exact "aggregate-min-single": "aggregate[statistic=min, axes=?a](?x)" => "reshape[extents=extents(?@)](?x)", if "single(?x, ?a)",
        "The smallest of one is that one.";
    reassociating "aggregate-sum-single": "aggregate[statistic=sum, axes=?a](?x)" => "reshape[extents=extents(?@)](?x)", if "single(?x, ?a)",
        "The sum of one is that one, but for -0.";
    reassociating "aggregate-mean-single": "aggregate[statistic=mean, axes=?a](?x)" => "reshape[extents=extents(?@)](?x)", if "single(?x, ?a), float(?x)",
        "The mean of one is that one, but for -0.";
    exact "pool-max-single": "global_pool[pool=max](?x)" => "?x", if "same_type(?x, ?@)",
        "The largest of one is that one.";
    reassociating "pool-mean-single": "global_pool[pool=mean](?x)" => "?x", if "same_type(?x, ?@), float(?x)",
        "The mean of one is that one, but for -0.";
}
