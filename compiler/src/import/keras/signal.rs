//! Spectrograms.

use frit_ir::ops::padding::Padding;
use frit_ir::ops::{concat::Concat, convolution::Convolution, log::Log, max::Max, pad::Pad, sqrt::Sqrt};
use frit_ir::{OpError, Scalar, ValueId};

use super::conv::image;
use super::layer::{Layer, Masked, bare};
use super::{Mask, Row};
use crate::import::layout;

pub(super) const EXPANDED: &[Row] = &[("STFTSpectrogram", Mask::Ends, spectrogram)];

/// What Keras keeps from zero.
const EPSILON: f64 = 1e-7;

/// The windows' parts are filters of a convolution, which are in the file.
fn spectrogram(n: &mut Layer<'_>) -> Result<Vec<Masked>, OpError> {
    let x = image(n, 1)?;
    let (channels, length) = (n.extent(x, 1)?, n.extent(x, 2)?);
    let x = n.reshape(x, &[-1, 1, length])?;
    let mode = n.config.text("mode", "log")?;
    let same = match n.config.text("padding", "valid")? {
        "valid" => Padding::None,
        "same" => Padding::SameEnd,
        other => return Err(OpError::invalid(format!("'padding' is '{other}'"))),
    };
    // [batch, channel, bin, frame].
    let part = |n: &mut Layer<'_>, at: usize| {
        let kernel = n.weight(at)?;
        let frame = n.dims(kernel)?.first().copied().unwrap_or(0);
        let step = n.config.maybe_int("frame_step")?.unwrap_or(frame / 2);
        let filter = layout::filter_first(n.builder, kernel)?;
        let y = n.apply(Convolution { strides: vec![step], dilations: vec![1], before: vec![], after: vec![], padding: same, groups: 1 }, &[x, filter])?;
        let (bins, frames) = (n.extent(y, 1)?, n.extent(y, 2)?);
        n.reshape(y, &[-1, channels, bins, frames])
    };
    let y = match mode {
        "real" | "imag" => part(n, 0)?,
        "angle" => return Err(OpError::unsupported("'mode' is 'angle', which is not supported").help("take real and imaginary part (mode 'stft')")),
        "stft" => {
            let parts = [part(n, 0)?, part(n, 1)?];
            n.apply(Concat { axis: 2 }, &parts)?
        }
        "log" | "magnitude" | "psd" => {
            let (real, imaginary) = (part(n, 0)?, part(n, 1)?);
            let (real, imaginary) = (n.mul(real, real)?, n.mul(imaginary, imaginary)?);
            let power = n.add(real, imaginary)?;
            if mode == "psd" { both_sides(n, power)? } else { magnitude(n, power, mode == "log")? }
        }
        other => return Err(OpError::invalid(format!("'mode' is '{other}'"))),
    };
    let y = match (n.config.flag("expand_dims", false)?, n.channels_last()?) {
        (true, true) => n.permuted(y, &[0, 3, 2, 1])?,
        (true, false) => n.permuted(y, &[0, 1, 3, 2])?,
        (false, last) => {
            let (bins, frames) = (n.extent(y, 2)?, n.extent(y, 3)?);
            let flat = n.reshape(y, &[-1, channels.saturating_mul(bins), frames])?;
            if last { n.permuted(flat, &[0, 2, 1])? } else { flat }
        }
    };
    Ok(bare([y]))
}

/// All bins but the first and last stand for two.
fn both_sides(n: &mut Layer<'_>, power: ValueId) -> Result<ValueId, OpError> {
    let bins = n.extent(power, 2)?;
    if bins < 3 {
        return Ok(power);
    }
    let inner = n.slice(power, 2, 1, bins - 1, 1)?;
    let twice = n.apply(Pad { before: vec![0, 0, 1, 0], after: vec![0, 0, 1, 0], value: Scalar::Float(0.0) }, &[inner])?;
    n.add(power, twice)
}

fn magnitude(n: &mut Layer<'_>, power: ValueId, log: bool) -> Result<ValueId, OpError> {
    let least = n.number_like(power, EPSILON);
    let power = n.apply(Max {}, &[power, least])?;
    let size = n.apply(Sqrt {}, &[power])?;
    if !log {
        return Ok(size);
    }
    let size = n.apply(Max {}, &[size, least])?;
    n.apply(Log {}, &[size])
}
