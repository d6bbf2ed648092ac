//! The best boxes, without those that overlap better ones.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

op! {
    /// `non_max_suppression(boxes, scores, most, overlap, score)`: `boxes` is `[n, b, 4]`, `scores` is `[n, c, b]`. For
    /// each image and class, boxes with scores above `score` are taken from the highest (of equal ones the first) to
    /// the lowest, up to `most`, unless their intersection with one taken before, divided by their union, is above
    /// `overlap`. The result is an i64 matrix of rows `image, class, box`. The last three operands are one number
    /// each. Source: ONNX `NonMaxSuppression`.
    pub struct NonMaxSuppression = "non_max_suppression" {
        /// Are boxes given as middle and extents, `x, y, width, height` (else by two corners, `y1, x1, y2, x2`)?
        pub centered: bool,
    }
}

/// A box: least and largest coordinate along two axes.
type Bounds = [(f64, f64); 2];

impl NonMaxSuppression {
    fn bounds(&self, four: &[f64]) -> Bounds {
        if self.centered {
            [0, 1].map(|k| (four[k] - four[k + 2] / 2.0, four[k] + four[k + 2] / 2.0))
        } else {
            [0, 1].map(|k| if four[k] >= four[k + 2] { (four[k + 2], four[k]) } else { (four[k], four[k + 2]) })
        }
    }
}

fn overlap(a: &Bounds, b: &Bounds) -> f64 {
    let side = |k: usize| a[k].1.min(b[k].1) - a[k].0.max(b[k].0);
    let area = |c: &Bounds| (c[0].1 - c[0].0) * (c[1].1 - c[1].0);
    if side(0) <= 0.0 || side(1) <= 0.0 || area(a) <= 0.0 || area(b) <= 0.0 {
        return 0.0;
    }
    let shared = side(0) * side(1);
    shared / (area(a) + area(b) - shared)
}

impl OpDef for NonMaxSuppression {
    derived!();
    fn arity(&self) -> Arity {
        5..=5
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::I64]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let (boxes, scores) = (args[0].ty, args[1].ty);
        if let (Ok(b), Ok(s)) = (boxes.dims(), scores.dims()) {
            let fits = b.len() == 3 && s.len() == 3 && b[2].may_equal(&Dim::Known(4)) && b[0].may_equal(&s[0]) && b[1].may_equal(&s[2]);
            if !fits {
                return Err(OpError::invalid(format!("'non_max_suppression' of boxes {boxes} with scores {scores}")));
            }
        }
        Ok(vec![TensorType::ranked(DType::I64, vec![Dim::Unknown, Dim::Known(3)])])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let types: Vec<TensorType> = inputs.iter().map(|tensor| tensor.ty()).collect();
        self.infer(&types.iter().map(|ty| Arg { ty, value: None }).collect::<Vec<_>>())?;
        let (boxes, scores) = (inputs[0].f64s(), inputs[1].f64s());
        let [images, classes, count] = *inputs[1].extents() else { return Err(OpError::bug("scores have three axes")) };
        let (classes, count) = (classes as usize, count as usize);
        let one = |k: usize| inputs[k].scalars().next().ok_or_else(|| OpError::invalid("'non_max_suppression' takes one number each of limits"));
        let most = one(2)?.as_int().max(0) as usize;
        let (largest, least) = (one(3)?.as_f64(), one(4)?.as_f64());
        let mut rows: Vec<i64> = Vec::new();
        for image in 0..images as usize {
            let bounds: Vec<Bounds> = (0..count).map(|k| self.bounds(&boxes[(image * count + k) * 4..][..4])).collect();
            for class in 0..classes {
                let scores = &scores[(image * classes + class) * count..][..count];
                let mut candidates: Vec<usize> = (0..count).filter(|k| scores[*k] > least).collect();
                candidates.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
                let mut taken: Vec<usize> = Vec::new();
                for k in candidates {
                    if taken.len() >= most {
                        break;
                    }
                    if taken.iter().all(|other| overlap(&bounds[k], &bounds[*other]) <= largest) {
                        taken.push(k);
                        rows.extend([image as i64, class as i64, k as i64]);
                    }
                }
            }
        }
        Ok(vec![Tensor::from_slice(&[rows.len() as i64 / 3, 3], &rows)])
    }
}

impl NonMaxSuppression {
    pub(crate) fn samples() -> Vec<Sample> {
        let number = |x: f32| Input::Given(Tensor::from_slice(&[1], &[x]));
        [(true, 3), (false, 100), (false, 0)]
            .into_iter()
            .map(|(centered, most)| Sample {
                op: NonMaxSuppression { centered }.into(),
                inputs: vec![
                    Input::Drawn(DType::F32, vec![2, 20, 4], Domain::Between(0.0, 1.0)),
                    Input::Drawn(DType::F32, vec![2, 3, 20], Domain::Between(0.0, 1.0)),
                    Input::Given(Tensor::from_ints(&[most])),
                    number(0.4),
                    number(0.2),
                ],
            })
            .collect()
    }
}
