//! Where the layers are trained.

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::TuneError;

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// All cores, with the loops of this module.
    #[default]
    Cpu,
    /// The first NVIDIA card, with candle's operations; needs a build with the feature `cuda`.
    Cuda,
}

impl Place {
    /// The device itself.
    ///
    /// # Errors
    /// [`TuneError::Device`] when there is none, or this build cannot use it.
    pub(super) fn device(self) -> Result<Device, TuneError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => Device::new_cuda(0).map_err(|error| TuneError::Device {
                reason: error.to_string().lines().next().unwrap_or_default().to_owned(),
            }),
        }
    }
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_cuda_says_so() {
        assert!(Place::Cpu.device().is_ok_and(|device| device.is_cpu()));
        let error = Place::Cuda.device().unwrap_err().to_string();
        assert!(error.contains("--features cuda") && error.lines().count() == 1, "{error}");
    }
}
