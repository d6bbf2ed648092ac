//! Buffers share one arena: each gets a range that no other live buffer has.
//!
//! In: sizes and life times. Out: offsets, and the arena's size. Must not know: graphs, kernels.

/// A buffer: bytes, and the first and last step that uses it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Life {
    /// Size in bytes.
    pub bytes: u64,
    /// The step that writes it first.
    pub first: u64,
    /// The last step that uses it.
    pub last: u64,
}

/// Offsets are multiples of this.
const ALIGNMENT: u64 = frit_ir::tensor::ALIGNMENT as u64;

/// Places buffers, the largest first, each at the lowest offset that is free while it lives. Returns the offsets and
/// the arena's size.
pub(super) fn plan(buffers: &[Life]) -> (Vec<u64>, u64) {
    let mut order: Vec<usize> = (0..buffers.len()).filter(|at| buffers[*at].bytes > 0).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(buffers[*at].bytes), buffers[*at].first, *at));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut size = 0;
    for at in order {
        let life = buffers[at];
        let bytes = life.bytes.next_multiple_of(ALIGNMENT);
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(|other| buffers[**other].first <= life.last && life.first <= buffers[**other].last)
            .map(|other| (offsets[*other], offsets[*other] + buffers[*other].bytes.next_multiple_of(ALIGNMENT)))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + bytes <= start {
                break;
            }
            offset = offset.max(end);
        }
        offsets[at] = offset;
        size = size.max(offset + bytes);
        placed.push(at);
    }
    (offsets, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_live_together_lie_apart() {
        let life = |bytes, first, last| Life { bytes, first, last };
        let buffers = [life(100, 0, 1), life(100, 1, 2), life(50, 2, 3), life(0, 0, 3), life(300, 2, 4)];
        let (offsets, size) = plan(&buffers);
        for (a, x) in buffers.iter().enumerate() {
            for (b, y) in buffers.iter().enumerate().skip(a + 1) {
                let apart = offsets[a] + x.bytes <= offsets[b] || offsets[b] + y.bytes <= offsets[a];
                assert!(apart || x.last < y.first || y.last < x.first || x.bytes == 0 || y.bytes == 0, "{a} and {b} overlap");
            }
        }
        assert_eq!(size, 320 + 128 + 64);
    }
}
