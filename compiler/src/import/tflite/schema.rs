//! What a file says: its subgraphs, their tensors and operators, its signatures.
//!
//! In: a file's bytes. Out: [`Schema`], whose references all lead somewhere. Must not know: what ops mean.

use std::ops::Range;

use frit_ir::{DType, OpError};

use super::flat::{File, Table};

/// A model.
pub(super) struct Schema<'f> {
    pub(super) subgraphs: Vec<Subgraph<'f>>,
    pub(super) signatures: Vec<Signature>,
}

/// A signature: names for a subgraph's ends.
pub(super) struct Signature {
    pub(super) key: String,
    pub(super) subgraph: usize,
    pub(super) inputs: Vec<(String, usize)>,
    pub(super) outputs: Vec<(String, usize)>,
}

/// A subgraph: tensors, some of which operators make of others.
pub(super) struct Subgraph<'f> {
    pub(super) name: String,
    pub(super) tensors: Vec<Described<'f>>,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    pub(super) operators: Vec<Operator<'f>>,
}

/// A tensor as it is described.
pub(super) struct Described<'f> {
    pub(super) name: String,
    /// Its element type's number.
    pub(super) number: i8,
    /// Extents; -1 where one is open.
    pub(super) shape: Vec<i32>,
    /// Where its elements lie in the file; empty where it is no constant.
    pub(super) data: Range<usize>,
    pub(super) quantisation: Option<Quantisation>,
    /// Does it keep its value between runs?
    pub(super) variable: bool,
    pub(super) sparsity: Option<Table<'f>>,
}

/// What integers stand for: `(q - zero) * scale`.
#[derive(Clone, PartialEq)]
pub(super) struct Quantisation {
    /// One, or one for each element along `axis`.
    pub(super) scales: Vec<f32>,
    /// As many.
    pub(super) zeros: Vec<i64>,
    pub(super) axis: usize,
}

/// An operator.
pub(super) struct Operator<'f> {
    /// Number of its op.
    pub(super) code: i32,
    /// The name of a custom op.
    pub(super) custom: String,
    /// Version of the op.
    pub(super) version: i32,
    /// Tensors; nothing where one is left out.
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<usize>,
    pub(super) options: Option<Table<'f>>,
}

type Read<T> = Result<T, OpError>;

/// The dtype that the format numbers so.
pub(super) fn dtype(number: i8) -> Read<DType> {
    Ok(match number {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::I32,
        3 => DType::U8,
        4 => DType::I64,
        5 => DType::Str,
        6 => DType::Bool,
        7 => DType::I16,
        9 => DType::I8,
        10 => DType::F64,
        12 => DType::U64,
        15 => DType::U32,
        16 => DType::U16,
        17 => DType::I4,
        18 => DType::BF16,
        19 => DType::I2,
        20 => DType::U4,
        8 | 11 => return Err(OpError::unsupported("complex numbers are not supported")),
        13 => return Err(OpError::unsupported("resources can only be variables")),
        14 => return Err(OpError::unsupported("variants are not supported")),
        _ => return Err(OpError::unsupported(format!("element type {number} is not supported"))),
    })
}

fn place(index: i64, count: usize, what: &str) -> Read<usize> {
    usize::try_from(index).ok().filter(|index| *index < count).ok_or_else(|| OpError::invalid(format!("there is no {what} {index}: the model has {count}")))
}

/// Reads a model.
pub(super) fn read<'f>(file: &'f File<'f>, length: usize) -> Read<Schema<'f>> {
    let root = file.root()?;
    let version = root.u32(0, 0)?;
    if version != 3 {
        return Err(OpError::unsupported(format!("schema version {version} of TensorFlow Lite; known is 3")).help("convert the model again with a newer TensorFlow"));
    }
    let codes = root.tables(1)?.iter().map(code).collect::<Read<Vec<_>>>()?;
    let buffers = root.tables(4)?.iter().map(|table| buffer(table, length)).collect::<Read<Vec<_>>>()?;
    let subgraphs = root.tables(2)?.iter().map(|table| subgraph(table, &codes, &buffers)).collect::<Read<Vec<_>>>()?;
    if subgraphs.is_empty() {
        return Err(OpError::invalid("the model holds no subgraph"));
    }
    let signatures = root.tables(7)?.iter().map(|table| signature(table, &subgraphs)).collect::<Read<Vec<_>>>()?;
    Ok(Schema { subgraphs, signatures })
}

/// An op's number, its name if it is a custom one, and its version. Numbers from 127 on lie in the newer of two fields.
fn code(table: &Table<'_>) -> Read<(i32, String, i32)> {
    let number = i32::from(table.i8(0, 0)?).max(table.i32(3, 0)?);
    Ok((number, table.text(1)?, table.i32(2, 1)?))
}

/// Where a buffer's bytes lie: in a list, or behind the tables where the file is large.
fn buffer(table: &Table<'_>, length: usize) -> Read<Range<usize>> {
    let (offset, size) = (table.u64(1, 0)?, table.u64(2, 0)?);
    if offset > 1 {
        let start = usize::try_from(offset).ok();
        let end = offset.checked_add(size).and_then(|end| usize::try_from(end).ok()).filter(|end| *end <= length);
        return start.zip(end).map(|(start, end)| start..end).ok_or_else(|| OpError::invalid("a buffer reaches outside the file"));
    }
    table.range(0, 1)
}

fn signature(table: &Table<'_>, subgraphs: &[Subgraph<'_>]) -> Read<Signature> {
    let subgraph = place(i64::from(table.u32(4, 0)?), subgraphs.len(), "subgraph")?;
    let ends = |slot: usize| {
        let end = |end: &Table<'_>| Ok((end.text(0)?, place(i64::from(end.u32(1, 0)?), subgraphs[subgraph].tensors.len(), "tensor")?));
        table.tables(slot)?.iter().map(end).collect::<Read<Vec<_>>>()
    };
    Ok(Signature { key: table.text(2)?, subgraph, inputs: ends(0)?, outputs: ends(1)? })
}

fn subgraph<'f>(table: &Table<'f>, codes: &[(i32, String, i32)], buffers: &[Range<usize>]) -> Read<Subgraph<'f>> {
    let tensors = table.tables(0)?.iter().map(|table| described(table, buffers)).collect::<Read<Vec<_>>>()?;
    let count = tensors.len();
    let all = |list: Vec<i32>| list.into_iter().map(|index| place(i64::from(index), count, "tensor")).collect::<Read<Vec<_>>>();
    let operator = |table: &Table<'f>| {
        let (code, custom, version) = codes[place(i64::from(table.u32(0, 0)?), codes.len(), "operator code")?].clone();
        let inputs = table.i32s(1)?.into_iter().map(|index| if index == -1 { Ok(None) } else { place(i64::from(index), count, "tensor").map(Some) });
        // Newer ops have their options in a field of their own.
        let options = match table.table(4)? {
            Some(options) => Some(options),
            None => table.table(12)?,
        };
        Ok(Operator {
            code,
            custom,
            version,
            inputs: inputs.collect::<Read<_>>()?,
            outputs: all(table.i32s(2)?)?,
            options,
        })
    };
    Ok(Subgraph {
        name: table.text(4)?,
        inputs: all(table.i32s(1)?)?,
        outputs: all(table.i32s(2)?)?,
        operators: table.tables(3)?.iter().map(operator).collect::<Read<_>>()?,
        tensors,
    })
}

fn described<'f>(table: &Table<'f>, buffers: &[Range<usize>]) -> Read<Described<'f>> {
    let (shape, signature) = (table.i32s(0)?, table.i32s(7)?);
    if table.u32(10, 0)? != 0 {
        return Err(OpError::unsupported("tensors in other files are not supported").help("convert the model to one file"));
    }
    Ok(Described {
        name: table.text(3)?,
        number: table.i8(1, 0)?,
        shape: if signature.len() == shape.len() { signature } else { shape },
        data: buffers[place(i64::from(table.u32(2, 0)?), buffers.len(), "buffer")?].clone(),
        quantisation: table.table(4)?.map(|table| quantisation(&table)).transpose()?.flatten(),
        variable: table.flag(5)?,
        sparsity: table.table(6)?,
    })
}

fn quantisation(table: &Table<'_>) -> Read<Option<Quantisation>> {
    if table.u8(4, 0)? != 0 {
        return Err(OpError::unsupported("quantisation by blocks or of a custom kind is not supported"));
    }
    let (scales, mut zeros) = (table.f32s(2)?, table.i64s(3)?);
    if scales.is_empty() {
        return Ok(None);
    }
    if zeros.len() < scales.len() {
        zeros.resize(scales.len(), zeros.first().copied().unwrap_or(0));
    }
    zeros.truncate(scales.len());
    let axis = usize::try_from(table.i32(6, 0)?).map_err(|_| OpError::invalid("a quantised axis is negative"))?;
    Ok(Some(Quantisation { scales, zeros, axis }))
}
