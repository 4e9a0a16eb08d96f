//! What the machine is: the facts of the birth message. Asked for once.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Facts that do not change while the agent runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Name and version of the operating system: `Debian GNU/Linux 13`.
    pub os: String,
    /// Version of the kernel.
    pub kernel: String,
    /// The kernel's host name.
    pub host: String,
    /// `linux/x86_64`.
    pub platform: String,
    /// Processors.
    pub cpus: u16,
    /// Memory in bytes.
    pub memory: u64,
}

/// The machine this runs on. What cannot be known is empty or zero.
#[must_use]
pub fn describe() -> Machine {
    let wanted = RefreshKind::nothing()
        .with_memory(MemoryRefreshKind::nothing().with_ram())
        .with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(wanted).ok();
    let name = System::name().unwrap_or_default();
    let version = System::os_version().unwrap_or_default();
    Machine {
        os: format!("{name} {version}").trim().to_owned(),
        kernel: System::kernel_version().unwrap_or_default(),
        host: System::host_name().unwrap_or_default(),
        platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        cpus: system.as_ref().map_or(0, |s| u16::try_from(s.cpus().len()).unwrap_or(u16::MAX)),
        memory: system.as_ref().map_or(0, System::total_memory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_processors_and_memory() {
        let machine = describe();
        assert!(machine.cpus > 0 && machine.memory > 0, "{machine:?}");
        assert!(!machine.kernel.is_empty() && machine.platform.contains('/'));
    }
}
