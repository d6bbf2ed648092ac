//! Matrix products and convolutions.

use super::{Class, Rule};

rules! {
    exact "batch-norm": "batch_norm(?x, ?f, ?s, ?m, ?v)" => "expansion", if "constant(?f), constant(?s), constant(?m), constant(?v)",
        "With known statistics it is one factor and one summand for each channel, which fold into weights.";
    exact "gemm": "gemm(?a, ?b, ?c)" => "expansion", if "constant(?b)",
        "It is the definition; rules then need to know of products and sums only.";
    exact "gemm-plain": "gemm(?a, ?b)" => "expansion", if "constant(?b)",
        "As with gemm, where nothing is added.";
    exact "einsum": "einsum(?x, ?y)" => "expansion",
        "As with gemm. Attention of Keras is written so.";
    reassociating "scale-conv": "mul(conv@c(?x, ?w), ?s)" => "conv@c(?x, mul(?w, reshape[extents=spread(?s, ?w, 0)](?s)))", if "constant(?w), constant(?s), along(?s, ?@, 1), alone(1), moderate(?s), bounded(?w)",
        "A factor for each channel is multiplied into the weights, when compiling.";
    reassociating "scale-conv-bias": "mul(add(conv@c(?x, ?w), ?b), ?s)" => "add(conv@c(?x, mul(?w, reshape[extents=spread(?s, ?w, 0)](?s))), mul(?b, ?s))",
        if "constant(?w), constant(?b), constant(?s), along(?s, ?@, 1), along(?b, ?@, 1), alone(1), moderate(?s), bounded(?b), bounded(?w)",
        "A factor for each channel is multiplied into weights and bias, when compiling.";
    reassociating "scale-conv-transpose": "mul(conv_transpose@c[groups=1](?x, ?w), ?s)" => "conv_transpose@c(?x, mul(?w, reshape[extents=spread(?s, ?w, 1)](?s)))",
        if "constant(?w), constant(?s), along(?s, ?@, 1), alone(1), moderate(?s), bounded(?w)",
        "A factor for each channel is multiplied into the weights, when compiling. Decoders with normalisation hold it.";
    reassociating "scale-conv-transpose-bias": "mul(add(conv_transpose@c[groups=1](?x, ?w), ?b), ?s)" => "add(conv_transpose@c(?x, mul(?w, reshape[extents=spread(?s, ?w, 1)](?s))), mul(?b, ?s))",
        if "constant(?w), constant(?b), constant(?s), along(?s, ?@, 1), along(?b, ?@, 1), alone(1), moderate(?s), bounded(?b), bounded(?w)",
        "A factor for each channel is multiplied into weights and bias, when compiling.";
    reassociating "scale-matmul": "mul(matmul(?x, ?w), ?s)" => "matmul(?x, mul(?w, reshape[extents=spread(?s, ?w, -1)](?s)))", if "constant(?w), constant(?s), along(?s, ?@, -1), alone(1), moderate(?s), bounded(?w)",
        "A factor for each column is multiplied into the weights, when compiling.";
    reassociating "scale-matmul-bias": "mul(add(matmul(?x, ?w), ?b), ?s)" => "add(matmul(?x, mul(?w, reshape[extents=spread(?s, ?w, -1)](?s))), mul(?b, ?s))",
        if "constant(?w), constant(?b), constant(?s), along(?s, ?@, -1), along(?b, ?@, -1), alone(1), moderate(?s), bounded(?b), bounded(?w)",
        "A factor for each column is multiplied into weights and bias, when compiling.";
    reassociating "conv-scaled": "conv@c(mul(?x, ?s), ?w)" => "conv@c(?x, mul(?w, ?s))", if "constant(?w), constant(?s), scalar(?s), fits(?s, ?w), alone(1), moderate(?s), bounded(?w)",
        "A factor of all elements is multiplied into the weights, when compiling; margins are 0 either way.";
    reassociating "matmul-scaled": "matmul(mul(?x, ?s), ?y)" => "mul(matmul(?x, ?y), ?s)", if "constant(?s), scalar(?s), moderate(?s)",
        "The product is scaled where it is made, instead of every element of an operand where it is read. Attention scales queries and keys so.";
    reassociating "matmul-scaled-right": "matmul(?x, mul(?y, ?s))" => "mul(matmul(?x, ?y), ?s)", if "constant(?s), scalar(?s), !constant(?y), moderate(?s)",
        "The product is scaled where it is made, instead of every element of an operand where it is read. Attention scales queries and keys so.";
    exact "conv-padded": "conv@c[before=?b, after=?a](pad[before=?p, after=?q, value=0](?x), ?w)" => "conv@c[before=plus(?b, behind(?p)), after=plus(?a, behind(?q))](?x, ?w)",
        if "around(?p), around(?q), finite(?w)",
        "Zeros are a convolution's own margin: times finite weights they are nothing. Exporters write uneven margins so.";
    exact "matmul-slice": "matmul(slice[starts=?s, extents=?e, steps=?t](?x), ?w)" => "slice[starts=?s, extents=extents(?@), steps=?t](matmul(?x, ?w))",
        if "constant(?w), same(rank(?w), 2), same(last(?e), last(extents(?x))), same(last(?t), 1)",
        "Rows of a product only need the same rows of its operand. Unrolled layers become one product so.";
    exact "matmul-step": "matmul(reshape[extents=?f](slice[starts=?s, extents=?e, steps=?t](?x)), ?w)" => "reshape[extents=extents(?@)](slice[starts=?s, extents=with_last(?e, extent(?w, 1)), steps=?t](matmul(?x, ?w)))",
        if "constant(?w), same(rank(?w), 2), same(last(?e), last(extents(?x))), same(last(?t), 1), same(last(?f), last(?e)), !stays(?x, ?s, ?e, ?t, ?f)",
        "The product of one step of a sequence is a part of that of all. Unrolled loops become one product so.";
    exact "add-step": "add(reshape[extents=?f](slice[starts=?s, extents=?e, steps=?t](?x)), ?b)" => "reshape[extents=?f](slice[starts=?s, extents=?e, steps=?t](add(?x, ?b)))",
        if "constant(?b), same(rank(?b), 1), same(extent(?b, 0), last(?f)), same(last(?e), last(extents(?x))), same(last(?t), 1), same(last(?f), last(?e)), !stays(?x, ?s, ?e, ?t, ?f)",
        "What is added to each step of a sequence is added to all at once.";
    finite "sum-conv": "add(conv@c(?x, ?w), conv@c(?x, ?v))" => "conv@c(?x, add(?w, ?v))", if "!constant(?x), constant(?w), constant(?v), same_type(?w, ?v), bounded(?w), bounded(?v)",
        "Branches that are summed are one convolution with summed weights. Networks that are trained with branches hold them.";
    finite "sum-conv-bias": "add(add(conv@c(?x, ?w), ?a), add(conv@c(?x, ?v), ?b))" => "add(conv@c(?x, add(?w, ?v)), add(?a, ?b))", if "!constant(?x), constant(?w), constant(?v), same_type(?w, ?v), bounded(?w), bounded(?v), constant(?a), constant(?b), bounded(?a), bounded(?b), same_type(?a, ?b)",
        "Branches that are summed are one convolution with summed weights and biases. Networks that are trained with branches hold them.";
    finite "sum-matmul": "add(matmul(?x, ?w), matmul(?x, ?v))" => "matmul(?x, add(?w, ?v))", if "!constant(?x), constant(?w), constant(?v), same_type(?w, ?v), bounded(?w), bounded(?v)",
        "Products of one operand that are summed are one product with summed weights. Adapters that are not merged hold them.";
    finite "sum-matmul-bias": "add(add(matmul(?x, ?w), ?a), matmul(?x, ?v))" => "add(matmul(?x, add(?w, ?v)), ?a)", if "!constant(?x), constant(?w), constant(?v), same_type(?w, ?v), bounded(?w), bounded(?v), constant(?a), bounded(?a), fits(?a, ?@)",
        "Products of one operand that are summed are one product with summed weights. Adapters that are not merged hold them.";
    finite "matmul-matmul": "matmul(matmul(?x, ?a), ?b)" => "matmul(?x, matmul(?a, ?b))", if "constant(?a), constant(?b), same(rank(?a), 2), same(rank(?b), 2), bounded(?a), bounded(?b), !constant(?x)",
        "Weights are multiplied once, when compiling, where that is less work. Adapters of low rank become part of a layer so.";
    exact "grouped-conv": "concat[axis=1](conv@c[groups=?g](slice[starts=?s*, extents=?e*, steps=?t](?x), ?w*)..)" => "conv@c[groups=times(?g, count(?w*))](slice[starts=first(?s*), extents=with_item(first(?e*), 1, times(item(first(?e*), 1), count(?w*))), steps=?t](?x), concat[axis=0](?w*))",
        if "constant(?w), alike(?w*), all(?t, 1), contiguous(?s*, ?e*, 1)",
        "Channels that are convolved apart and joined are groups. Exporters without grouped convolutions write them so, one group or one channel at a time.";
    exact "grouped-conv-bias": "concat[axis=1](add(conv@c[groups=?g](slice[starts=?s*, extents=?e*, steps=?t](?x), ?w*), ?b*)..)" => "add(conv@c[groups=times(?g, count(?w*))](slice[starts=first(?s*), extents=with_item(first(?e*), 1, times(item(first(?e*), 1), count(?w*))), steps=?t](?x), concat[axis=0](?w*)), concat[axis=1](?b*))",
        if "constant(?w), constant(?b), alike(?w*), all(?t, 1), contiguous(?s*, ?e*, 1), same(spread(?b, ?w, 1), extents(?b)), same(extent(?w, 0), extent(?b, 1))",
        "Channels that are convolved apart and joined are groups. Exporters without grouped convolutions write them so, one group or one channel at a time.";
    exact "merge-linear": "add(matmul(?x, ?w*), ?b*)" => "slice[starts=start(?w*, 1), extents=extents(?@), steps=ones(?@)](add(matmul(?x, concat[axis=1](?w*)), concat[axis=0](?b*)))",
        if "constant(?w), constant(?b), same(rank(?w), 2), same(rank(?b), 1), same(extent(?w, 1), extent(?b, 0)), !joined(?w)",
        "Products of one operand with several constants are one product: its operand is read once, and it is one kernel.";
    exact "matmul-rows": "reshape(matmul(reshape(?x), ?w))" => "matmul(?x, ?w)", if "same(rank(?w), 2), same(extents(?@), with_last(extents(?x), extent(?w, 1))), same(last(extents(?x)), extent(?w, 0))",
        "Rows need not lie along one axis. Layers are decomposed so.";
    exact "matmul-rows-bias": "reshape(add(matmul(reshape(?x), ?w), ?b))" => "add(matmul(?x, ?w), ?b)", if "same(rank(?w), 2), same(extents(?@), with_last(extents(?x), extent(?w, 1))), same(last(extents(?x)), extent(?w, 0)), same(rank(?b), 1)",
        "Rows need not lie along one axis. Layers are decomposed so.";
    exact "matmul-repeated": "matmul(?x, ?w)" => "matmul(?x, reshape[extents=[last(extents(?x)), last(extents(?w))]](slice[starts=zeros(?w), extents=with_item(with_last(ones(?w), last(extents(?w))), plus(rank(?w), -2), last(extents(?x))), steps=ones(?w)](?w)))",
        if "constant(?w), less(2, rank(?w)), same(extents(?@), with_last(extents(?x), last(extents(?w)))), repeats(?w)",
        "Weights that are repeated for each sample are there once. Layers are decomposed so.";
    exact "merge-matmul": "matmul(?x, ?w*)" => "slice[starts=start(?w*, 1), extents=extents(?@), steps=ones(?@)](matmul(?x, concat[axis=1](?w*)))",
        if "constant(?w), same(rank(?w), 2), !joined(?w)",
        "Products of one operand with several constants are one product: its operand is read once, and it is one kernel.";
    exact "merge-conv-bias": "add(conv@c[groups=1](?x, ?w*), ?b*)" => "slice[starts=start(?w*, 0, 1), extents=extents(?@), steps=ones(?@)](add(conv@c(?x, concat[axis=0](?w*)), concat[axis=1](?b*)))",
        if "constant(?w), constant(?b), !joined(?w), same(rank(?b), rank(?w)), along(?b, ?@, 1), same(extent(?w, 0), extent(?b, 1))",
        "Convolutions of one operand with windows of one form are one convolution with more channels. Detectors and Inception blocks hold them.";
    blocked "winograd-rows": "conv@c[strides=?s, dilations=?d, groups=?g, before=?b, after=?a](?x, ?w)" => "winograd_output[axis=0, tile=4, taps=extent(?w, 2), extent=extent(?@, 2)](conv@c[groups=times(?g, plus(extent(?w, 2), 3)), before=behind(zeros(?x)), after=behind(zeros(?x))](winograd_input[axis=0, tile=4, taps=extent(?w, 2), before=?b, after=?a](?x), winograd_weight[axis=0, tile=4](?w)))",
        if "constant(?w), !constant(?x), bounded(?w), wide(?x), less(3, rank(?x)), same(item(?s, 0), 1), same(item(?d, 0), 1), less(1, extent(?w, 2)), less(extent(?w, 2), 6), less(1, extent(?w, 1)), less(1, extent(?@, 2))",
        "Four rows of results at a time need half the products, or fewer. Winograd, Arithmetic Complexity of Computations, 1980.";
    blocked "winograd-columns": "conv@c[strides=?s, dilations=?d, groups=?g, before=?b, after=?a](?x, ?w)" => "winograd_output[axis=1, tile=4, taps=extent(?w, 3), extent=extent(?@, 3)](conv@c[groups=times(?g, plus(extent(?w, 3), 3)), before=behind(zeros(?x)), after=behind(zeros(?x))](winograd_input[axis=1, tile=4, taps=extent(?w, 3), before=?b, after=?a](?x), winograd_weight[axis=1, tile=4](?w)))",
        if "constant(?w), !constant(?x), bounded(?w), wide(?x), same(rank(?x), 4), same(item(?s, 1), 1), same(item(?d, 1), 1), same(extent(?w, 2), 1), less(1, extent(?w, 3)), less(extent(?w, 3), 6), less(1, extent(?w, 1)), less(1, extent(?@, 3))",
        "Four results of a row at a time need half the products, or fewer. Winograd, Arithmetic Complexity of Computations, 1980.";
    reassociating "last-column": "matmul(?x, ?w)" => "concat[axis=plus(rank(?@), -1)](matmul(?x, slice[starts=zeros(?w), extents=with_last(extents(?w), plus(extent(?w, 1), -1)), steps=ones(?w)](?w)), matmul(?x, slice[starts=with_last(zeros(?w), plus(extent(?w, 1), -1)), extents=with_last(extents(?w), 1), steps=ones(?w)](?w)))",
        if "constant(?w), !constant(?x), wide(?x), same(rank(?w), 2), !joined(?w), less(47, item(as_matrix(?x), 0)), even(extent(?w, 0)), !even(extent(?w, 1)), less(255, extent(?w, 0)), less(1023, extent(?w, 1))",
        "Of an even number of columns `strassen` makes seven products.";
    blocked "strassen": "matmul(?x, ?w)" => "reshape[extents=extents(?@)](strassen_output[rows=item(as_matrix(?x), 0)](matmul(strassen_input(reshape[extents=as_matrix(?x)](?x)), strassen_weight(?w))))",
        if "constant(?w), !constant(?x), !padded(?x), bounded(?w), wide(?x), same(rank(?w), 2), less(47, item(as_matrix(?x), 0)), even(extent(?w, 0)), even(extent(?w, 1)), less(plus(times(extent(?w, 0), 128), times(extent(?w, 1), 96)), times(extent(?w, 0), extent(?w, 1)))",
        "Seven products of sums of parts do the work of eight of parts, with 7/4 as many weights, for which fewer rows would wait, and sums of rows that small products are not worth. Rows lie in pairs, and one of zeros must give zeros: some networks divide them by their length. Strassen, Gaussian Elimination is not Optimal, 1969.";
}
