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
    reassociating "attention": "matmul(softmax[axis=3](mul(matmul(?q, ?k), ?s)), ?v)" => "part[of=0](attention[heads=[], kv_heads=[], scale=[number(?s)], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=false, has_past=false, has_lengths=false, zeros=false](?q, transpose[perm=[0, 1, 3, 2]](?k), ?v))",
        if "constant(?s), scalar(?s), known(number(?s)), same(rank(?@), 4), same(rank(?q), 4), same(leading(?q, 2), leading(?k, 2)), same(leading(?q, 2), leading(?v, 2))",
        "That is its definition; queries are scaled rather than scores.";
    reassociating "attention-unscaled": "matmul(softmax[axis=3](matmul(?q, ?k)), ?v)" => "part[of=0](attention[heads=[], kv_heads=[], scale=[1.0], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=false, has_past=false, has_lengths=false, zeros=false](?q, transpose[perm=[0, 1, 3, 2]](?k), ?v))",
        if "same(rank(?@), 4), same(rank(?q), 4), same(leading(?q, 2), leading(?k, 2)), same(leading(?q, 2), leading(?v, 2))",
        "That is its definition.";
    reassociating "attention-masked": "matmul(softmax[axis=3](add(mul(matmul(?q, ?k), ?s), ?m)), ?v)" => "part[of=0](attention[heads=[], kv_heads=[], scale=[number(?s)], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=true, has_past=false, has_lengths=false, zeros=false](?q, transpose[perm=[0, 1, 3, 2]](?k), ?v, ?m))",
        if "constant(?s), scalar(?s), known(number(?s)), same(rank(?@), 4), same(rank(?q), 4), same(leading(?q, 2), leading(?k, 2)), same(leading(?q, 2), leading(?v, 2)), same(last(extents(?m)), last(extents(?k)))",
        "That is its definition; queries are scaled rather than scores.";
    exact "attention-causal": "part[of=0](attention@a[causal=false, has_mask=true, has_past=false, has_lengths=false](?q, ?k, ?v, ?m))" => "part[of=0](attention@a[causal=true, has_mask=false](?q, ?k, ?v))",
        if "causal(?m, -inf), same(extent(?q, 2), extent(?k, 2))",
        "A mask that only says which keys come later.";
    finite "attention-causal-large": "part[of=0](attention@a[causal=false, has_mask=true, has_past=false, has_lengths=false](?q, ?k, ?v, ?m))" => "part[of=0](attention@a[causal=true, has_mask=false](?q, ?k, ?v))",
        if "causal(?m, -10000), same(extent(?q, 2), extent(?k, 2))",
        "A mask that only says which keys come later; the exponentials of what it hides vanish.";

    exact "rotary-embedding": "add(mul(?x, ?c), mul(concat[axis=3](neg(slice[starts=?b, extents=?h, steps=[1, 1, 1, 1]](?x)), slice[starts=[0, 0, 0, 0], extents=?h, steps=[1, 1, 1, 1]](?x)), ?s))"
        => "rotary_embedding[heads=0, width=0, interleaved=false](?x, reshape[extents=[1, extent(?x, 2), item(?h, 3)]](slice[starts=zeros(?c), extents=[extent(?x, 2), item(?h, 3)], steps=ones(?c)](?c)), reshape[extents=[1, extent(?x, 2), item(?h, 3)]](slice[starts=zeros(?s), extents=[extent(?x, 2), item(?h, 3)], steps=ones(?s)](?s)))",
        if "same(?b, [0, 0, 0, item(?h, 3)]), same(?h, [extent(?x, 0), extent(?x, 1), extent(?x, 2), item(?h, 3)]), same(extents(?c), [extent(?x, 2), extent(?x, 3)]), same(extents(?s), extents(?c)), constant(?c), constant(?s), halves(?c), halves(?s)",
        "That is its definition; the halves are turned without being put together first.";
}
