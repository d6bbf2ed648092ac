//! Ops that move elements and compute nothing.

use super::{Class, Rule};

rules! {
    exact "transpose-transpose": "transpose[perm=?p](transpose[perm=?q](?x))" => "transpose[perm=compose(?p, ?q)](?x)",
        "Two orders of axes are one.";
    exact "transpose-none": "transpose[perm=?p](?x)" => "?x", if "identity(?p)",
        "The axes stay where they are.";
    exact "transpose-reshape": "transpose[perm=?p](?x)" => "reshape[extents=extents(?@)](?x)", if "!identity(?p), ordered(extents(?x), ?p)",
        "Where only axes of extent 1 move, all elements stay in order.";
    exact "elementwise-transpose": "elementwise@f(transpose[perm=?p](?x))" => "transpose[perm=?p](elementwise@f(?x))", if "channels_last(?p)",
        "Where channels come last at a model's boundary, they stay second within it. Models of TensorFlow and Keras do.";
    exact "elementwise-transposes": "elementwise@f(transpose[perm=?p](?x), transpose[perm=?p](?y))" => "transpose[perm=?p](elementwise@f(?x, ?y))", if "channels_last(?p)",
        "As elementwise-transpose: sums of branches.";
    exact "elementwise-transpose-constant": "elementwise@f(transpose[perm=?p](?x), ?c)" => "transpose[perm=?p](elementwise@f(?x, reshape[extents=compose(inverse(?p), of_rank(?c, ?x))](?c)))",
        if "channels_last(?p), constant(?c), ordered(of_rank(?c, ?x), inverse(?p))",
        "As elementwise-transpose: numbers for each channel, or one for all.";
    exact "elementwise-constant-transpose": "elementwise@f(?c, transpose[perm=?p](?x))" => "transpose[perm=?p](elementwise@f(reshape[extents=compose(inverse(?p), of_rank(?c, ?x))](?c), ?x))",
        if "channels_last(?p), constant(?c), ordered(of_rank(?c, ?x), inverse(?p))",
        "As elementwise-transpose: numbers for each channel, or one for all.";
    exact "clip-transpose": "clip(transpose[perm=?p](?x), ?a, ?b)" => "transpose[perm=?p](clip(?x, ?a, ?b))", if "channels_last(?p), same(rank(?a), 0), same(rank(?b), 0)",
        "As elementwise-transpose: bounds are the same anywhere.";
    exact "pad-transpose": "pad[before=?b, after=?a, value=?v](transpose[perm=?p](?x))" => "transpose[perm=?p](pad[before=compose(inverse(?p), ?b), after=compose(inverse(?p), ?a), value=?v](?x))", if "channels_last(?p)",
        "As elementwise-transpose: margins.";
    exact "concat-transpose": "concat[axis=?a](transpose[perm=?p](?x*)..)" => "transpose[perm=?p](concat[axis=item(?p, ?a)](?x*))", if "channels_last(?p)",
        "As elementwise-transpose: values that are joined.";
    exact "reshape-reshape": "reshape[extents=?e](reshape(?x))" => "reshape[extents=?e](?x)",
        "Only the last shape counts.";
    exact "reshape-none": "reshape(?x)" => "?x", if "same_type(?x, ?@)",
        "The shape stays what it is.";
    exact "broadcast-none": "broadcast(?x)" => "?x", if "same_type(?x, ?@)",
        "The shape stays what it is.";
    exact "broadcast-broadcast": "broadcast[extents=?e](broadcast(?x))" => "broadcast[extents=?e](?x)",
        "Only the last shape counts. Masks are expanded in steps.";
    exact "add-broadcast": "add(?x, broadcast(?y))" => "add(?x, ?y)", if "same_type(?x, ?@), fits(?y, ?@)",
        "Sums expand their operands themselves.";
    exact "mul-broadcast": "mul(?x, broadcast(?y))" => "mul(?x, ?y)", if "same_type(?x, ?@), fits(?y, ?@)",
        "Products expand their operands themselves. Masks are applied so.";
    exact "cast-none": "cast(?x)" => "?x", if "same_type(?x, ?@)",
        "The dtype stays what it is.";
    exact "slice-none": "slice[steps=?s](?x)" => "?x", if "same_type(?x, ?@), all(?s, 1)",
        "All elements are kept.";
    exact "slice-slice": "slice[starts=?s, extents=?e, steps=?t](slice[starts=?p, steps=?q](?x))" => "slice[starts=plus(?p, times(?s, ?q)), extents=?e, steps=times(?t, ?q)](?x)",
        "A part of a part is a part.";
    exact "slice-concat": "slice[starts=?s, extents=?e, steps=?t](concat[axis=?a](?p..))" => "slice[starts=within_start(?p, ?a, ?s, ?e, ?t), extents=?e, steps=?t](?p[within(?p, ?a, ?s, ?e, ?t)])",
        "What lies in one of the joined values is taken from that one.";
    exact "slice-transpose": "slice[starts=?s, extents=?e, steps=?t](transpose[perm=?p](?x))" => "transpose[perm=?p](slice[starts=compose(inverse(?p), ?s), extents=compose(inverse(?p), ?e), steps=compose(inverse(?p), ?t)](?x))",
        "A part may be taken before its axes are put in another order.";
    exact "slice-cos": "slice[starts=?s, extents=?e, steps=?t](reshape[extents=?r](cos(?x)))" => "reshape[extents=?e](cos(slice[starts=with_last(zeros(?x), last(?s)), extents=with_last(extents(?x), last(?e)), steps=with_last(ones(?x), last(?t))](?x)))",
        if "same(last(?r), last(extents(?x))), same(with_last(?e, last(?r)), ?r), all(with_last(?t, 1), 1)",
        "Only what is used is computed. Rotary embeddings' angles are made twice.";
    exact "slice-sin": "slice[starts=?s, extents=?e, steps=?t](reshape[extents=?r](sin(?x)))" => "reshape[extents=?e](sin(slice[starts=with_last(zeros(?x), last(?s)), extents=with_last(extents(?x), last(?e)), steps=with_last(ones(?x), last(?t))](?x)))",
        if "same(last(?r), last(extents(?x))), same(with_last(?e, last(?r)), ?r), all(with_last(?t, 1), 1)",
        "Only what is used is computed. Rotary embeddings' angles are made twice.";
    exact "reshape-slice": "reshape[extents=?f](slice[starts=?s, extents=?e, steps=?t](?x))" => "slice[starts=cut(?x, ?s, ?e, ?t, ?f, 0, ?s), extents=?f, steps=cut(?x, ?s, ?e, ?t, ?f, 1, ?t)](reshape[extents=uncut(?x, ?s, ?e, ?t, ?f)](?x))",
        "A part along one axis may be taken after the shape changes, if the axis is still one. Parts that are treated alike can then be treated at once.";
    exact "add-slice": "add(slice@s[starts=?s, extents=?e, steps=?t](?x), ?b)" => "slice@s(add(?x, ?b))", if "constant(?b), same(rank(?@), rank(?x)), fits(?b, ?x), flat(?b, ?x, ?s, ?e, ?t)",
        "What all parts have in common is done to the whole, once.";
    exact "relu-slice": "relu(slice@s(?x))" => "slice@s(relu(?x))",
        "What all parts have in common is done to the whole, once.";
    exact "concat-slices": "concat[axis=?a](slice[starts=?s*, extents=?e*, steps=?t](?x)..)" => "slice[starts=first(?s*), extents=extents(?@), steps=?t](?x)", if "all(?t, 1), contiguous(?s*, ?e*, ?a)",
        "Parts that follow each other are one part.";
    exact "concat-places": "concat[axis=?a](slice[starts=?s*, extents=?e*, steps=?t](?x)..)" => "gather[axis=?a](?x, concat[axis=0](slice[starts=[item(?s*, ?a)], extents=[item(?e*, ?a)], steps=[1]](iota[dtype=i64, extents=[extent(?x, ?a)], axis=0]())..))",
        if "all(?t, 1), !contiguous(?s*, ?e*, ?a), !constant(?x), same(with_item(?s, ?a, 0), zeros(?x)), same(with_item(?e, ?a, 0), with_item(extents(?x), ?a, 0))",
        "Parts of one value in another order are its elements at other places, which whoever reads them looks up. Windows of attention are shifted so.";
    exact "reshape-stack": "reshape[extents=?e](concat[axis=0](?x..))" => "concat[axis=0](reshape[extents=with_item(?e, 0, 1)](?x*)..)", if "alike(?x*), same(first(?e), count(?x*))",
        "Values that are joined end to end and then put apart are stacked. Stacks are decomposed so.";
    exact "transpose-stack": "transpose[perm=?p](concat[axis=?a](reshape[extents=?e](?x*)..))" => "concat[axis=item(inverse(?p), ?a)](reshape[extents=compose(?p, ?e)](?x*)..)", if "ordered(?e, ?p)",
        "Values may be stacked along another axis. Unrolled loops whose time comes first give their steps so.";
    exact "concat-one": "concat(?x)" => "?x",
        "One part is the whole.";
    exact "concat-concat-second": "concat[axis=?a](?x, concat[axis=?a](?y..), ?z..)" => "concat[axis=?a](?x, ?y.., ?z..)",
        "Values joined in steps are joined at once. Densely connected networks hold it.";
    exact "gather-slice": "gather[axis=?a](?x, ?i)" => "reshape[extents=extents(?@)](slice[starts=run_starts(?x, ?a, ?i), extents=run_extents(?x, ?a, ?i), steps=run_steps(?x, ?a, ?i)](?x))", if "constant(?i)",
        "Known indices that rise or fall evenly are a slice, whose addresses need no memory.";
}
