//! Sums, maxima and other statistics along axes.

use super::{Class, Rule};

rules! {
    reassociating "aggregate-sum-single": "aggregate[statistic=sum, axes=?a](?x)" => "reshape[extents=extents(?@)](?x)", if "single(?x, ?a)",
        "The sum of one is that one, but for -0.";
    reassociating "aggregate-mean-single": "aggregate[statistic=mean, axes=?a](?x)" => "reshape[extents=extents(?@)](?x)", if "single(?x, ?a), float(?x)",
        "The mean of one is that one, but for -0.";
    reassociating "pool-mean-single": "global_pool[pool=mean](?x)" => "?x", if "same_type(?x, ?@), float(?x)",
        "The mean of one is that one, but for -0.";
}
