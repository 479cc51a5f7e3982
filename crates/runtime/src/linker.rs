//! What this node offers to guests: the interfaces, and the check of a module against them.

use wasmtime::component::{Component, HasData, Linker, ResourceTable};
use wasmtime::{Engine, UnknownImportError};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p3::bindings::CommandPre as CommandPre3;
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::guest::{CoreGuest, Guest};
use crate::module::{Entry, LoadError};
use crate::sockets;

/// Both linkers, filled once.
pub(crate) struct Linkers {
    engine: Engine,
    components: Linker<Guest>,
    cores: wasmtime::Linker<CoreGuest>,
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let mut components = Linker::new(engine);
        offer_wasi_2(&mut components)?;
        offer_wasi_3(&mut components)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut components)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut components)?;
        sockets::add_to_linker(&mut components)?;
        let mut cores = wasmtime::Linker::new(engine);
        wasmtime_wasi::p1::add_to_linker_async(&mut cores, |guest: &mut CoreGuest| &mut guest.wasi)?;
        Ok(Self { engine: engine.clone(), components, cores })
    }

    pub(crate) fn link_core(&self, module: &wasmtime::Module) -> Result<(Entry, Vec<String>), LoadError> {
        let imports = module.imports().map(|import| format!("{}.{}", import.module(), import.name())).collect();
        if module.get_export("_start").is_none() {
            return Err(LoadError::NoEntry { cause: "a core module without a `_start` function: it is not a program" });
        }
        let pre = self.cores.instantiate_pre(module).map_err(|error| refusal_of_core(&error))?;
        Ok((Entry::Core(pre), imports))
    }

    pub(crate) fn link_component(&self, component: &Component) -> Result<(Entry, Vec<String>), LoadError> {
        let ty = component.component_type();
        let imports: Vec<String> = ty.imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        let invalid = |error: wasmtime::Error| LoadError::Invalid { cause: format!("{error:#}") };
        let pre = self.components.instantiate_pre(component).map_err(|error| {
            // What a component imports by name it may not use: only what is missed is refused.
            let names: Vec<String> = imports.iter().filter(|name| !is_offered(name)).cloned().collect();
            if names.is_empty() { invalid(error) } else { LoadError::UnknownImport { names } }
        })?;
        let exports: Vec<&str> = ty.exports(&self.engine).map(|(name, _)| name).collect();
        let way = Way::of(&exports)?;
        let entry = match way {
            Way::Http2 => Entry::Http2(ProxyPre::new(pre).map_err(invalid)?),
            Way::Http3 => Entry::Http3(ServicePre::new(pre).map_err(invalid)?),
            Way::Command2 => Entry::Command2(CommandPre::new(pre).map_err(invalid)?),
            Way::Command3 => Entry::Command3(CommandPre3::new(pre).map_err(invalid)?),
        };
        Ok((entry, imports))
    }
}

fn refusal_of_core(error: &wasmtime::Error) -> LoadError {
    match error.downcast_ref::<UnknownImportError>() {
        Some(unknown) => LoadError::UnknownImport { names: vec![format!("{}.{}", unknown.module(), unknown.name())] },
        None => LoadError::Invalid { cause: format!("{error:#}") },
    }
}

/// The ways into a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Http2,
    Http3,
    Command2,
    Command3,
}

impl Way {
    /// The way to take: a server before a process, as a server may bring a `run` besides.
    fn of(exports: &[&str]) -> Result<Self, LoadError> {
        const WAYS: [(&str, &str, Way); 4] = [
            ("wasi:http/handler", "0.3", Way::Http3),
            ("wasi:http/incoming-handler", "0.2", Way::Http2),
            ("wasi:cli/run", "0.3", Way::Command3),
            ("wasi:cli/run", "0.2", Way::Command2),
        ];
        let found = WAYS.iter().find(|(name, version, _)| exports.iter().any(|export| matches(export, name, version)));
        found.map(|(_, _, way)| *way).ok_or(LoadError::NoEntry {
            cause: "exports neither wasi:cli/run nor wasi:http/incoming-handler (0.2) nor wasi:http/handler (0.3)",
        })
    }
}

/// The interfaces of both linkers, by their compatible version.
const OFFERED: &[(&str, &[&str])] = &[
    ("wasi:io/error", &["0.2"]),
    ("wasi:io/poll", &["0.2"]),
    ("wasi:io/streams", &["0.2"]),
    ("wasi:cli/environment", &["0.2", "0.3"]),
    ("wasi:cli/exit", &["0.2", "0.3"]),
    ("wasi:cli/stdin", &["0.2", "0.3"]),
    ("wasi:cli/stdout", &["0.2", "0.3"]),
    ("wasi:cli/stderr", &["0.2", "0.3"]),
    ("wasi:cli/types", &["0.3"]),
    ("wasi:cli/terminal-input", &["0.2", "0.3"]),
    ("wasi:cli/terminal-output", &["0.2", "0.3"]),
    ("wasi:cli/terminal-stdin", &["0.2", "0.3"]),
    ("wasi:cli/terminal-stdout", &["0.2", "0.3"]),
    ("wasi:cli/terminal-stderr", &["0.2", "0.3"]),
    ("wasi:clocks/monotonic-clock", &["0.2", "0.3"]),
    ("wasi:clocks/wall-clock", &["0.2"]),
    ("wasi:clocks/system-clock", &["0.3"]),
    ("wasi:clocks/types", &["0.3"]),
    ("wasi:filesystem/types", &["0.2", "0.3"]),
    ("wasi:filesystem/preopens", &["0.2", "0.3"]),
    ("wasi:random/random", &["0.2", "0.3"]),
    ("wasi:random/insecure", &["0.2", "0.3"]),
    ("wasi:random/insecure-seed", &["0.2", "0.3"]),
    ("wasi:sockets/network", &["0.2"]),
    ("wasi:sockets/instance-network", &["0.2"]),
    ("wasi:sockets/tcp", &["0.2"]),
    ("wasi:sockets/tcp-create-socket", &["0.2"]),
    ("wasi:sockets/udp", &["0.2"]),
    ("wasi:sockets/udp-create-socket", &["0.2"]),
    ("wasi:sockets/types", &["0.3"]),
    ("wasi:sockets/ip-name-lookup", &["0.2", "0.3"]),
    ("wasi:http/types", &["0.2", "0.3"]),
    ("wasi:http/outgoing-handler", &["0.2"]),
    ("wasi:http/client", &["0.3"]),
];

fn is_offered(import: &str) -> bool {
    OFFERED.iter().any(|(name, versions)| versions.iter().any(|version| matches(import, name, version)))
}

/// True when `full`, as in `wasi:cli/run@0.2.6`, is `name` in a version that is compatible with `version`.
fn matches(full: &str, name: &str, version: &str) -> bool {
    let rest = full.strip_prefix(name).and_then(|rest| rest.strip_prefix('@'));
    let rest = rest.and_then(|rest| rest.strip_prefix(version));
    // A pre-release, as in `0.3.0-rc-2025-09-16`, is compatible with itself only.
    rest.is_some_and(|patch| patch.starts_with('.') && !patch.contains('-'))
}

fn offer_wasi_2(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
    use wasmtime_wasi_io::bindings::wasi::io;

    io::error::add_to_linker::<_, Io>(linker, |guest| &mut guest.table)?;
    io::poll::add_to_linker::<_, Io>(linker, |guest| &mut guest.table)?;
    io::streams::add_to_linker::<_, Io>(linker, |guest| &mut guest.table)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, Guest::clocks)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, Guest::clocks)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, Guest::filesystem)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, Guest::with_mounts)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, Guest::random)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, Guest::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, Guest::random)
}

/// Sockets are left out: those of wasmtime-wasi are the host's.
fn offer_wasi_3(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p3::bindings::filesystem;

    wasmtime_wasi::p3::cli::add_to_linker(linker)?;
    wasmtime_wasi::p3::clocks::add_to_linker(linker)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, Guest::filesystem)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, Guest::with_mounts)?;
    wasmtime_wasi::p3::random::add_to_linker(linker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_matches_within_its_compatible_range() {
        assert!(matches("wasi:cli/run@0.2.6", "wasi:cli/run", "0.2"));
        assert!(!matches("wasi:cli/run@0.20.6", "wasi:cli/run", "0.2"));
        assert!(!matches("wasi:cli/running@0.2.6", "wasi:cli/run", "0.2"));
        assert!(!matches("wasi:cli/run@0.3.0-rc-2025-09-16", "wasi:cli/run", "0.3"));
        assert!(!matches("wasi:cli/run", "wasi:cli/run", "0.2"));
    }

    #[test]
    fn a_server_is_a_server_although_it_brings_a_run_besides() {
        let way = Way::of(&["wasi:cli/run@0.2.0", "wasi:http/incoming-handler@0.2.3"]);
        assert_eq!(way.unwrap(), Way::Http2);
        assert!(Way::of(&["my:own/thing@1.0.0"]).is_err());
    }
}
