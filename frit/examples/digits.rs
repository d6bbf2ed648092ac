//! Reads handwritten digits: `digits MODEL.onnx IMAGE.pgm...` shows each picture, the digit it most likely is, and how
//! likely. Images are plain PGM files (`P2`) of 8 x 8 pixels, bright strokes on a dark ground.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::path::Path;
use std::process::ExitCode;

use frit::{Options, Tensor};

/// Pixels of a picture's edge.
const EDGE: usize = 8;

/// The pixels of a plain PGM file, 0 to 1, row after row.
///
/// # Errors
/// In words, where the file can't be read or is not such a picture.
fn read_pgm(path: &Path) -> Result<Vec<f32>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("can't read '{}': {error}", path.display()))?;
    let picture = || -> Option<Vec<f32>> {
        let mut words = text.lines().map(|line| line.split('#').next().unwrap_or_default()).flat_map(str::split_whitespace);
        let kind = words.next()?;
        let numbers: Vec<u16> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let [width, height, largest, pixels @ ..] = numbers.as_slice() else { return None };
        let fits = kind == "P2" && [*width, *height] == [EDGE as u16; 2] && *largest > 0 && pixels.len() == EDGE * EDGE;
        fits.then(|| pixels.iter().map(|&pixel| f32::from(pixel) / f32::from(*largest)).collect())
    };
    picture().ok_or_else(|| format!("'{}' is not a plain PGM file of {EDGE} x {EDGE} pixels", path.display()))
}

/// A picture in characters, two to a pixel.
fn draw(pixels: &[f32]) -> String {
    const SHADES: &[u8] = b" .:-=+*#%@";
    let shade = |pixel: f32| char::from(SHADES[((pixel * SHADES.len() as f32) as usize).min(SHADES.len() - 1)]);
    pixels.chunks(EDGE).map(|row| format!("    {}\n", row.iter().flat_map(|&pixel| [shade(pixel); 2]).collect::<String>())).collect()
}

fn run(model: &Path, images: &[String]) -> Result<(), String> {
    let first = |errors: Vec<frit::Error>| errors.first().map(ToString::to_string).unwrap_or_default();
    let session = frit::load(model, &Options::default(), &Default::default()).map_err(first)?;
    for image in images {
        let pixels = read_pgm(Path::new(image))?;
        let outputs = session.run(&[Tensor::from_slice(&[1, 1, EDGE as i64, EDGE as i64], &pixels)]).map_err(|error| error.to_string())?;
        let chances = outputs[0].as_slice::<f32>();
        let best = (0..chances.len()).max_by(|&a, &b| chances[a].total_cmp(&chances[b])).ok_or("the model gives no classes")?;
        println!("{image}:\n\n{}\nThis is a {best}, with a probability of {:.1} %.\n", draw(&pixels), 100.0 * chances[best]);
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((model, images)) if !images.is_empty() => run(Path::new(model), images),
        _ => Err("usage: digits MODEL.onnx IMAGE.pgm...".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
