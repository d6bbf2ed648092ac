//! Softmax and normalisations, as exporters and people write them.

use super::{Class, Rule};

rules! {
    exact "aggregate-sum": "aggregate[statistic=sum, axes=?a, keep=true](?x)" => "reduce[how=sum, axes=?a](?x)",
        "Two names for one thing.";
    exact "aggregate-max": "aggregate[statistic=max, axes=?a, keep=true](?x)" => "reduce[how=max, axes=?a](?x)",
        "Two names for one thing.";
    reassociating "softmax": "div(exp(sub(?x, reduce[how=max, axes=?a](?x))), reduce[how=sum, axes=?a](exp(sub(?x, reduce[how=max, axes=?a](?x)))))" => "softmax[axis=only(?a), zeros=false](?x)", if "known(only(?a)), float(?x)",
        "That is its definition, but for a product with the reciprocal where a quotient stands.";
    exact "log-softmax": "sub(sub(?x, reduce[how=max, axes=?a](?x)), log(reduce[how=sum, axes=?a](exp(sub(?x, reduce[how=max, axes=?a](?x))))))" => "log_softmax[axis=only(?a)](?x)", if "known(only(?a)), float(?x)",
        "That is its definition.";
    finite "log-of-softmax": "log(softmax[axis=?k](?x))" => "log_softmax[axis=?k](?x)",
        "But for exponentials that vanish.";
    finite "log-sum-exp": "sub(?x, aggregate[statistic=log_sum_exp, axes=?a, keep=true](?x))" => "log_softmax[axis=only(?a)](?x)", if "known(only(?a)), float(?x)",
        "The logarithm of a quotient is a difference.";

    exact "reciprocal": "reciprocal(?x)" => "div(1, ?x)", if "float(?x)",
        "That is its definition.";
    exact "global-mean": "global_pool[pool=mean](?x)" => "aggregate[statistic=mean, axes=from(2, rank(?x)), keep=true](?x)", if "wide(?x), less(2, rank(?x))",
        "Two names for one thing. Converters write means of last axes as pools.";
    reassociating "by-inverse-root": "mul(?x, div(1, sqrt(?v)))" => "div(?x, sqrt(?v))", if "same_type(?x, ?@)",
        "A product with a quotient of 1 is a quotient.";
    reassociating "factor-times-inverse-root": "mul(?x, mul(div(1, sqrt(?v)), ?g))" => "mul(div(?x, sqrt(?v)), ?g)", if "same_type(?x, ?@)",
        "The factor of a normalisation comes last.";
    reassociating "center-late": "add(mul(?x, mul(div(1, sqrt(add(aggregate@v[statistic=mean](mul(?c, ?c)), ?e))), ?g)), sub(?b, mul(aggregate@m[statistic=mean](?x), mul(div(1, sqrt(add(aggregate@v[statistic=mean](mul(?c, ?c)), ?e))), ?g))))" => "add(mul(sub(?x, aggregate@m(?x)), mul(div(1, sqrt(add(aggregate@v(mul(?c, ?c)), ?e))), ?g)), ?b)",
        if "same_type(?x, ?@), constant(?g), bounded(?g), constant(?e), positive(?e), moderate(?e)",
        "A mean that is scaled and then taken off is taken off first. The scale is finite, or all is NaN.";
    reassociating "center-late-negated": "add(mul(?x, mul(div(1, sqrt(add(aggregate@v[statistic=mean](mul(?c, ?c)), ?e))), ?g)), add(mul(neg(aggregate@m[statistic=mean](?x)), mul(div(1, sqrt(add(aggregate@v[statistic=mean](mul(?c, ?c)), ?e))), ?g)), ?b))" => "add(mul(sub(?x, aggregate@m(?x)), mul(div(1, sqrt(add(aggregate@v(mul(?c, ?c)), ?e))), ?g)), ?b)",
        if "same_type(?x, ?@), constant(?g), bounded(?g), constant(?e), positive(?e), moderate(?e)",
        "A mean that is scaled and then taken off is taken off first. The scale is finite, or all is NaN.";

    exact "rms-norm": "div(?x, sqrt(add(aggregate[statistic=mean, axes=?a, keep=true](mul(?x, ?x)), ?e)))" => "rms_norm[axis=trailing(?a, ?x), epsilon=number(?e), stash=dtype(?x)](?x, 1)",
        if "same_type(?x, ?@), wide(?x), constant(?e), scalar(?e), known(number(?e)), known(trailing(?a, ?x))",
        "That is its definition, with the factor 1.";
    exact "rms-norm-factor": "mul(rms_norm@n(?x, 1), ?g)" => "rms_norm@n(?x, ?g)", if "fits(?g, ?x)",
        "The factor is what comes last.";
    exact "rms-norm-narrow": "cast[to=?d](rms_norm@n[stash=?s](cast[to=?s](?x), 1))" => "rms_norm@n(?x, 1)", if "float(?x), same_type(?x, ?@)",
        "It widens its operand itself. Language models in half precision are written so.";
    reassociating "layer-norm": "rms_norm[axis=?k, epsilon=?e, stash=?s](sub(?x, aggregate[statistic=mean, axes=?a, keep=true](?x)), 1)" => "part[of=0](layer_norm[axis=?k, epsilon=?e, stash=?s](?x, 1))",
        if "same(trailing(?a, ?x), ?k), same(dtype(?x), ?s)",
        "What is left of the mean square without the mean is the variance.";
    exact "layer-norm-narrow": "cast[to=?d](part[of=0](layer_norm@n[stash=?s](cast[to=?s](?x), 1)))" => "part[of=0](layer_norm@n(?x, 1))", if "float(?x), same_type(?x, ?@)",
        "It widens its operand itself. Language models in half precision are written so.";
    exact "layer-norm-factor": "mul(part[of=0](layer_norm@n(?x, 1)), ?g)" => "part[of=0](layer_norm@n(?x, ?g))", if "fits(?g, ?x)",
        "The factor is what comes before the shift.";
    exact "layer-norm-shift": "add(part[of=0](layer_norm@n(?x, ?g)), ?b)" => "part[of=0](layer_norm@n(?x, ?g, ?b))", if "constant(?b), fits(?b, ?x), fits(?g, ?x)",
        "The shift is what comes last.";

    reassociating "group-norm-of-instances": "reshape(group_norm[groups=0, epsilon=?e, per_group=false, stash=?s](reshape[extents=?r](?x), ?g, ?b))" => "group_norm[groups=item(?r, 1), epsilon=?e, per_group=true, stash=?s](?x, ?g, ?b)",
        if "same_type(?x, ?@), same(item(?r, 0), extent(?x, 0))",
        "Groups that were made channels, each normalised by itself.";
    reassociating "group-norm-channels": "add(mul(group_norm[groups=?n, epsilon=?e, per_group=true, stash=?s](?x, 1, 0), ?g), ?b)" => "group_norm[groups=?n, epsilon=?e, per_group=false, stash=?s](?x, reshape[extents=[extent(?x, 1)]](?g), reshape[extents=[extent(?x, 1)]](?b))",
        if "per_channel(?g, ?x), per_channel(?b, ?x)",
        "Factor and shift of channels come last.";
    reassociating "group-norm-channels-last": "reshape(add(mul(div(sub(reshape[extents=?r](?x), aggregate[statistic=mean, axes=?a, keep=true](reshape(?x))), sqrt(add(aggregate[statistic=mean, axes=?a, keep=true](mul(sub(reshape(?x), aggregate[statistic=mean, axes=?a, keep=true](reshape(?x))), sub(reshape(?x), aggregate[statistic=mean, axes=?a, keep=true](reshape(?x))))), ?e))), ?g), ?b))"
        => "transpose[perm=[0, 2, 3, 1]](group_norm[groups=item(?r, 3), epsilon=number(?e), per_group=false, stash=dtype(?x)](transpose[perm=[0, 3, 1, 2]](?x), reshape[extents=[extent(?x, 3)]](?g), reshape[extents=[extent(?x, 3)]](?b)))",
        if "wide(?x), same_type(?x, ?@), constant(?e), scalar(?e), known(number(?e)), same(rank(?x), 4), same(?r, [extent(?x, 0), extent(?x, 1), extent(?x, 2), item(?r, 3), item(?r, 4)]), same(?a, [1, 2, 4]), same(extents(?g), [1, 1, 1, item(?r, 3), item(?r, 4)]), same(extents(?b), extents(?g))",
        "Groups of channels that stand last.";
}
