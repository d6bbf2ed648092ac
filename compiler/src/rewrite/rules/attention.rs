//! Scaled dot-product attention and rotary embeddings, as exporters and people write them.

use super::{Class, Rule};

rules! {
    exact "transpose-in-reshapes": "reshape(transpose[perm=?p](reshape[extents=?r](?x)))" => "reshape[extents=extents(?@)](transpose[perm=axes_through(?x, ?r, ?p, ?@)](?x))", if "known(axes_through(?x, ?r, ?p, ?@))",
        "Axes that were joined or put in only for the transpose.";
    exact "transpose-scaled": "transpose[perm=?p](mul(?x, ?s))" => "mul(transpose[perm=?p](?x), ?s)", if "fits(?s, ?x), constant(?s), scalar(?s)",
        "Queries are scaled before or after their heads are put apart.";
    exact "reshape-scaled": "reshape(mul(?x, ?s))" => "mul(reshape[extents=extents(?@)](?x), ?s)", if "fits(?s, ?@), constant(?s), scalar(?s)",
        "Queries are scaled before or after their heads are put apart.";
    exact "matmul-in-reshapes": "reshape(matmul(?a, ?b))" => "matmul(reshape[extents=[extent(?@, 0), extent(?@, 1), extent(?a, 1), extent(?a, 2)]](?a), reshape[extents=[extent(?@, 0), extent(?@, 1), extent(?b, 1), extent(?b, 2)]](?b))",
        if "same(rank(?a), 3), same(rank(?b), 3), same(rank(?@), 4), same(extent(?a, 0), extent(?b, 0)), same(extent(?@, 2), extent(?a, 1)), same(extent(?@, 3), extent(?b, 2))",
        "Products of each head, whether batch and heads are one axis or two.";
    exact "softmax-zeros": "select(not(cast(aggregate[statistic=max, axes=?a, keep=true](cast(not(equal(?x, -inf)))))), 0, softmax[axis=?d, zeros=false](?x))" => "softmax[axis=?d, zeros=true](?x)", if "same(?a, [?d]), same_type(?x, ?@)",
        "Where there is nothing in a row but -inf. PyTorch decomposes attention so.";
    reassociating "attention": "matmul(softmax[axis=3, zeros=?z](mul(matmul(?q, ?k), ?s)), ?v)" => "part[of=0](attention[heads=[], kv_heads=[], scale=[number(?s)], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=false, has_past=false, has_lengths=false, zeros=?z, hidden=[]](?q, transpose[perm=[0, 1, 3, 2]](?k), ?v))",
        if "constant(?s), scalar(?s), known(number(?s)), same(rank(?@), 4), same(rank(?q), 4), same(leading(?q, 2), leading(?k, 2)), same(leading(?q, 2), leading(?v, 2))",
        "That is its definition; queries are scaled rather than scores.";
    reassociating "attention-unscaled": "matmul(softmax[axis=3, zeros=?z](matmul(?q, ?k)), ?v)" => "part[of=0](attention[heads=[], kv_heads=[], scale=[1.0], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=false, has_past=false, has_lengths=false, zeros=?z, hidden=[]](?q, transpose[perm=[0, 1, 3, 2]](?k), ?v))",
        if "same(rank(?@), 4), same(rank(?q), 4), same(leading(?q, 2), leading(?k, 2)), same(leading(?q, 2), leading(?v, 2))",
        "That is its definition.";
    reassociating "attention-masked": "matmul(softmax[axis=3, zeros=?z](add(mul(matmul(?q, ?k), ?s), ?m)), ?v)" => "part[of=0](attention[heads=[], kv_heads=[], scale=[number(?s)], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=true, has_past=false, has_lengths=false, zeros=?z, hidden=[]](?q, transpose[perm=[0, 1, 3, 2]](?k), ?v, ?m))",
        if "constant(?s), scalar(?s), known(number(?s)), same(rank(?@), 4), same(rank(?q), 4), same(leading(?q, 2), leading(?k, 2)), same(leading(?q, 2), leading(?v, 2)), same(last(extents(?m)), last(extents(?k))), same(leading(?q, 3), leading(?@, 3))",
        "That is its definition; queries are scaled rather than scores.";
    exact "select-not": "select(?m, ?c, ?x)" => "select(not(?m), ?x, ?c)", if "constant(?c), scalar(?c), !constant(?x)",
        "What is put in place of something comes last. Some say which scores to hide and some which to keep.";
    exact "equal-false": "equal(cast(?m), 0)" => "not(?m)", if "same(dtype(?m), bool), same(extents(?m), extents(?@))",
        "Masks of truth values are compared with 0 so.";
    finite "select-by-factors": "add(mul(cast(?m), ?x), mul(cast(not(?m)), ?y))" => "select(?m, ?x, ?y)", if "same(dtype(?m), bool), float(?x)",
        "One factor is 1 and the other 0. TensorFlow's converter writes choices so.";
    finite "select-by-factors-known": "add(mul(?x, ?a), ?b)" => "select(cast[to=bool](?a), ?x, constant[value=filling(?b, ?a)]())", if "constant(?a), constant(?b), !constant(?x), float(?x)",
        "Factors of 1 and 0, and what stands in place of the rest. TensorFlow's converter writes choices so.";
    reassociating "attention-hidden": "matmul(softmax[axis=3, zeros=?z](select(?m, mul(matmul(?q, ?k), ?s), ?c)), ?v)" => "part[of=0](attention[heads=[], kv_heads=[], scale=[number(?s)], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=true, has_past=false, has_lengths=false, zeros=?z, hidden=[number(?c)]](?q, transpose[perm=[0, 1, 3, 2]](?k), ?v, ?m))",
        if "constant(?s), scalar(?s), known(number(?s)), constant(?c), scalar(?c), known(number(?c)), same(rank(?@), 4), same(rank(?q), 4), same(leading(?q, 2), leading(?k, 2)), same(leading(?q, 2), leading(?v, 2)), same(last(extents(?m)), last(extents(?k))), same(leading(?q, 3), leading(?@, 3))",
        "That is its definition: scores are replaced by the same number, so that a query that sees nothing gives what it gave. Queries are scaled rather than scores.";
    reassociating "attention-hidden-unscaled": "matmul(softmax[axis=3, zeros=?z](select(?m, matmul(?q, ?k), ?c)), ?v)" => "part[of=0](attention[heads=[], kv_heads=[], scale=[1.0], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=true, has_past=false, has_lengths=false, zeros=?z, hidden=[number(?c)]](?q, transpose[perm=[0, 1, 3, 2]](?k), ?v, ?m))",
        if "constant(?c), scalar(?c), known(number(?c)), same(rank(?@), 4), same(rank(?q), 4), same(leading(?q, 2), leading(?k, 2)), same(leading(?q, 2), leading(?v, 2)), same(last(extents(?m)), last(extents(?k))), same(leading(?q, 3), leading(?@, 3))",
        "That is its definition: scores are replaced by the same number, so that a query that sees nothing gives what it gave.";
    exact "attention-causal-hidden": "part[of=0](attention@a[causal=false, left=-1, right=-1, has_mask=true, has_past=false, has_lengths=false](?q, ?k, ?v, ?m))" => "part[of=0](attention@a[causal=true, has_mask=false](?q, ?k, ?v))",
        if "triangle(?m), same(extent(?q, 2), extent(?k, 2))",
        "A mask that only says which keys come later.";
    exact "attention-causal": "part[of=0](attention@a[causal=false, has_mask=true, has_past=false, has_lengths=false](?q, ?k, ?v, ?m))" => "part[of=0](attention@a[causal=true, has_mask=false](?q, ?k, ?v))",
        if "causal(?m, -inf), same(extent(?q, 2), extent(?k, 2))",
        "A mask that only says which keys come later.";
    finite "attention-causal-large": "part[of=0](attention@a[causal=false, has_mask=true, has_past=false, has_lengths=false](?q, ?k, ?v, ?m))" => "part[of=0](attention@a[causal=true, has_mask=false](?q, ?k, ?v))",
        if "causal(?m, -10000), same(extent(?q, 2), extent(?k, 2))",
        "A mask that only says which keys come later; the exponentials of what it hides vanish.";

    exact "rotary-embedding": "add(mul(?x, ?c), mul(concat[axis=3](neg(slice[starts=?b, extents=?h, steps=[1, 1, 1, 1]](?x)), slice[starts=[0, 0, 0, 0], extents=?h, steps=[1, 1, 1, 1]](?x)), ?s))"
        => "rotary_embedding[heads=0, width=0, interleaved=false](?x, reshape[extents=angles(?c, ?x)](slice[starts=zeros(?c), extents=with_last(extents(?c), item(?h, 3)), steps=ones(?c)](?c)), reshape[extents=angles(?s, ?x)](slice[starts=zeros(?s), extents=with_last(extents(?s), item(?h, 3)), steps=ones(?s)](?s)))",
        if "same(?b, [0, 0, 0, item(?h, 3)]), same(?h, [extent(?x, 0), extent(?x, 1), extent(?x, 2), item(?h, 3)]), same(extent(?x, 3), plus(item(?h, 3), item(?h, 3))), known(angles(?c, ?x)), known(angles(?s, ?x)), halves(?c), halves(?s)",
        "That is its definition; the halves are turned without being put together first. Angles may be tables or made of positions.";
}
