//! The processors that a component's kernels are chosen for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// The processors that kernels are chosen for. On others they run too, and compute the same, but slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum Tune {
    /// x86-64 that keeps thousands of decoded instructions: AMD since Zen 2, Intel since Alder Lake and Sapphire Rapids.
    X86_64,
    /// x86-64 that keeps 1,500 to 2,300 decoded instructions, for which loops are shorter: Intel before those.
    Skylake,
    /// aarch64: 32 vector registers, where Cranelift has 16 on x86-64.
    Aarch64,
}

impl Tune {
    /// All of them.
    pub const ALL: [Tune; 3] = [Tune::X86_64, Tune::Skylake, Tune::Aarch64];

    /// The kind that the processor is of which this runs on.
    pub fn here() -> Tune {
        #[cfg(target_arch = "x86_64")]
        {
            let vendor = std::arch::x86_64::__cpuid(0);
            // Alder Lake and Sapphire Rapids are the first of Intel's that have these instructions, and more room. A virtual machine
            // may hide them: then it is a little slower.
            let has_little_room = !std::arch::is_x86_feature_detected!("avxvnni");
            if [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel" && has_little_room
            {
                return Tune::Skylake;
            }
        }
        if cfg!(target_arch = "aarch64") { Tune::Aarch64 } else { Tune::X86_64 }
    }

    fn name(self) -> &'static str {
        match self {
            Tune::X86_64 => "x86-64",
            Tune::Skylake => "skylake",
            Tune::Aarch64 => "aarch64",
        }
    }

    /// Reads what a manifest says. What a later version may have named is nothing that must be known to run a component.
    pub(crate) fn deserialize_known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tune>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        Ok(name.and_then(|name| name.parse().ok()))
    }
}

impl From<Tune> for String {
    fn from(tune: Tune) -> String {
        tune.name().to_owned()
    }
}

impl fmt::Display for Tune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tune {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Tune::ALL.into_iter().find(|tune| tune.name() == name);
        known.ok_or_else(|| format!("no kernels are tuned for {name:?}: x86-64, skylake or aarch64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_by_its_name() {
        for tune in Tune::ALL {
            assert_eq!(tune.to_string().parse(), Ok(tune));
            assert_eq!(serde_json::to_value(tune).expect("JSON"), tune.to_string());
        }
        assert!(Tune::ALL.contains(&Tune::here()));
        assert!("z80".parse::<Tune>().is_err());
    }
}
