//! Tables of FlatBuffers, read where they lie.
//!
//! In: a file's bytes. Out: fields of its tables, by slot. A field that is left out has the default of its reader's choosing. Every offset and
//! length is checked against the file, and what is read in all is bounded, since many references may lead to one place.
//! Must not know: any schema.

use std::cell::Cell;

use frit_ir::OpError;

/// A file under reading.
pub(super) struct File<'m> {
    bytes: &'m [u8],
    /// How many more bytes of lists may be read.
    budget: Cell<usize>,
}

/// A table in a file.
#[derive(Clone, Copy)]
pub(super) struct Table<'f> {
    file: &'f File<'f>,
    at: usize,
    /// Its list of fields' places, and how many bytes that takes.
    fields: usize,
    reach: usize,
}

type Read<T> = Result<T, OpError>;

fn broken(what: &str) -> OpError {
    OpError::invalid(format!("not a whole TensorFlow Lite model: {what}")).help("the file may have been cut off when it was copied")
}

impl<'m> File<'m> {
    /// A file of these bytes.
    pub(super) fn new(bytes: &'m [u8]) -> Self {
        Self { bytes, budget: Cell::new(bytes.len().saturating_mul(2).saturating_add(1 << 16)) }
    }

    fn take<const N: usize>(&self, at: usize) -> Read<[u8; N]> {
        at.checked_add(N).and_then(|end| self.bytes.get(at..end)).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| broken("a field lies outside the file"))
    }

    /// The place that the offset at a place leads to.
    fn follow(&self, at: usize) -> Read<usize> {
        let offset = u32::from_le_bytes(self.take(at)?);
        at.checked_add(offset as usize).filter(|to| *to < self.bytes.len()).ok_or_else(|| broken("an offset leads outside the file"))
    }

    /// The table that the file begins with.
    pub(super) fn root(&'m self) -> Read<Table<'m>> {
        let at = self.follow(0)?;
        self.table(at)
    }

    fn table(&'m self, at: usize) -> Read<Table<'m>> {
        let back = i64::from(i32::from_le_bytes(self.take(at)?));
        let fields = (at as i64).checked_sub(back).and_then(|place| usize::try_from(place).ok()).ok_or_else(|| broken("a table has no fields"))?;
        let reach = usize::from(u16::from_le_bytes(self.take(fields)?));
        Ok(Table { file: self, at, fields, reach })
    }
}

impl<'f> Table<'f> {
    /// Where a field lies, if it is there.
    fn field(&self, slot: usize) -> Read<Option<usize>> {
        let place = 4 + 2 * slot;
        if place + 2 > self.reach {
            return Ok(None);
        }
        let offset = u16::from_le_bytes(self.file.take(self.fields.saturating_add(place))?);
        Ok((offset != 0).then(|| self.at + usize::from(offset)))
    }

    fn number<const N: usize, T>(&self, slot: usize, default: T, of: fn([u8; N]) -> T) -> Read<T> {
        self.field(slot)?.map_or(Ok(default), |at| self.file.take(at).map(of))
    }

    /// A signed byte.
    pub(super) fn i8(&self, slot: usize, default: i8) -> Read<i8> {
        self.number(slot, default, i8::from_le_bytes)
    }

    /// A byte.
    pub(super) fn u8(&self, slot: usize, default: u8) -> Read<u8> {
        self.number(slot, default, u8::from_le_bytes)
    }

    /// A truth value.
    pub(super) fn flag(&self, slot: usize) -> Read<bool> {
        Ok(self.u8(slot, 0)? != 0)
    }

    /// A signed number of 32 bits.
    pub(super) fn i32(&self, slot: usize, default: i32) -> Read<i32> {
        self.number(slot, default, i32::from_le_bytes)
    }

    /// A number of 32 bits.
    pub(super) fn u32(&self, slot: usize, default: u32) -> Read<u32> {
        self.number(slot, default, u32::from_le_bytes)
    }

    /// A number of 64 bits.
    pub(super) fn u64(&self, slot: usize, default: u64) -> Read<u64> {
        self.number(slot, default, u64::from_le_bytes)
    }

    /// A float.
    pub(super) fn f32(&self, slot: usize, default: f32) -> Read<f32> {
        self.number(slot, default, f32::from_le_bytes)
    }

    /// Another table.
    pub(super) fn table(&self, slot: usize) -> Read<Option<Table<'f>>> {
        self.field(slot)?.map(|at| self.file.table(self.file.follow(at)?)).transpose()
    }

    /// Where a list of elements of so many bytes lies in the file; a list that is left out is empty.
    pub(super) fn range(&self, slot: usize, size: usize) -> Read<std::ops::Range<usize>> {
        let Some(at) = self.field(slot)? else { return Ok(0..0) };
        let at = self.file.follow(at)?;
        let count = u32::from_le_bytes(self.file.take(at)?) as usize;
        let start = at + 4;
        let end = count.checked_mul(size).and_then(|bytes| start.checked_add(bytes)).filter(|end| *end <= self.file.bytes.len());
        end.map(|end| start..end).ok_or_else(|| broken("a list reaches outside the file"))
    }

    /// The bytes of a list that is to be copied.
    fn list(&self, slot: usize, size: usize) -> Read<&'f [u8]> {
        let range = self.range(slot, size)?;
        let left = self.file.budget.get().checked_sub(range.len()).ok_or_else(|| broken("many lists share their places"))?;
        self.file.budget.set(left);
        Ok(&self.file.bytes[range])
    }

    fn numbers<const N: usize, T>(&self, slot: usize, of: fn([u8; N]) -> T) -> Read<Vec<T>> {
        let (whole, _) = self.list(slot, N)?.as_chunks::<N>();
        Ok(whole.iter().map(|bytes| of(*bytes)).collect())
    }

    /// A list of bytes.
    pub(super) fn u8s(&self, slot: usize) -> Read<Vec<u8>> {
        Ok(self.list(slot, 1)?.to_vec())
    }

    /// A list of numbers of 16 bits.
    pub(super) fn u16s(&self, slot: usize) -> Read<Vec<u16>> {
        self.numbers(slot, u16::from_le_bytes)
    }

    /// A list of numbers of 32 bits.
    pub(super) fn i32s(&self, slot: usize) -> Read<Vec<i32>> {
        self.numbers(slot, i32::from_le_bytes)
    }

    /// A list of numbers of 64 bits.
    pub(super) fn i64s(&self, slot: usize) -> Read<Vec<i64>> {
        self.numbers(slot, i64::from_le_bytes)
    }

    /// A list of floats.
    pub(super) fn f32s(&self, slot: usize) -> Read<Vec<f32>> {
        self.numbers(slot, f32::from_le_bytes)
    }

    /// Text; empty where it is left out.
    pub(super) fn text(&self, slot: usize) -> Read<String> {
        Ok(String::from_utf8_lossy(self.list(slot, 1)?).into_owned())
    }

    /// A list of tables.
    pub(super) fn tables(&self, slot: usize) -> Read<Vec<Table<'f>>> {
        let range = self.range(slot, 4)?;
        self.list(slot, 4)?;
        range.step_by(4).map(|at| self.file.table(self.file.follow(at)?)).collect()
    }
}
