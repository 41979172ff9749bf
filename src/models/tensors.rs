//! Writes a safetensors file as a stream: the header first, then one tensor after the other.
//!
//! The counterpart of `encoder::weights`; the import never holds more than one tensor.

use std::io::{self, Write};

use half::f16;
use serde_json::{Map, Value, json};

use crate::encoder::weights::Dtype;

/// A tensor that will be written.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
}

impl Planned {
    fn values(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A file being written, tensor by tensor in the planned order.
pub(super) struct TensorWriter<W> {
    out: W,
    /// Type and number of values still to come, in order.
    rest: std::vec::IntoIter<Planned>,
    current: Option<(Dtype, usize)>,
}

impl<W: Write> TensorWriter<W> {
    /// Writes the header for `plan`.
    pub(super) fn new(mut out: W, plan: Vec<Planned>) -> io::Result<Self> {
        let mut header = Map::new();
        header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
        let mut at = 0;
        for tensor in &plan {
            let end = at + tensor.values() * tensor.dtype.bytes();
            let dtype = match tensor.dtype {
                Dtype::F16 => "F16",
                Dtype::F32 => "F32",
            };
            let entry = json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [at, end]});
            header.insert(tensor.name.clone(), entry);
            at = end;
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        // The format asks for data that begins at a multiple of eight.
        header.resize(header.len().next_multiple_of(8), b' ');
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        Ok(Self { out, rest: plan.into_iter(), current: None })
    }

    /// Appends values, narrowing them to the type of the tensor they belong to.
    pub(super) fn write(&mut self, mut values: &[f32]) -> io::Result<()> {
        while !values.is_empty() {
            let (dtype, left) = match self.current.filter(|(_, left)| *left > 0) {
                Some(current) => current,
                None => {
                    let next = self.rest.next();
                    let next = next.ok_or_else(|| io::Error::other("more values than planned"))?;
                    (next.dtype, next.values())
                }
            };
            let (now, later) = values.split_at(left.min(values.len()));
            let raw: Vec<u8> = match dtype {
                Dtype::F32 => now.iter().flat_map(|x| x.to_le_bytes()).collect(),
                Dtype::F16 => now.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            };
            self.out.write_all(&raw)?;
            self.current = Some((dtype, left - now.len()));
            values = later;
        }
        Ok(())
    }

    /// Flushes, and checks that everything planned was written.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        let missing = self.current.is_some_and(|(_, left)| left > 0)
            || self.rest.any(|tensor| tensor.values() > 0);
        if missing { Err(io::Error::other("fewer values than planned")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::weights::WeightFile;

    fn plan() -> Vec<Planned> {
        let planned = |name: &str, dtype, shape: &[usize]| Planned {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
        };
        vec![planned("b", Dtype::F16, &[2, 2]), planned("a", Dtype::F32, &[3])]
    }

    #[test]
    fn what_is_written_can_be_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = TensorWriter::new(file.as_file(), plan()).unwrap();
        writer.write(&[1.0, 2.0, 3.0]).unwrap();
        writer.write(&[4.0, 0.1, 0.2, 0.3]).unwrap();
        writer.finish().unwrap();
        let mut weights = WeightFile::open(file.path()).unwrap();
        assert_eq!(weights.f32("b", &[2, 2]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(weights.f32("a", &[3]).unwrap(), [0.1, 0.2, 0.3]);
        let whole = std::fs::read(file.path()).unwrap();
        assert_eq!(safetensors::SafeTensors::deserialize(&whole).unwrap().len(), 2);
    }

    #[test]
    fn too_many_or_too_few_values_are_refused() {
        let mut writer = TensorWriter::new(Vec::new(), plan()).unwrap();
        assert!(writer.write(&[0.0; 8]).is_err());
        let mut writer = TensorWriter::new(Vec::new(), plan()).unwrap();
        writer.write(&[0.0; 5]).unwrap();
        assert!(writer.finish().is_err());
    }
}
