//! Small guests, as WebAssembly text: wasip1 modules that do one thing each.

/// A guest that runs `body` with the imports that guests need. `$print` writes bytes of memory to standard output.
fn guest(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 4)
          (data (i32.const 1024) "hello\n")
          (data (i32.const 1100) "key")
          (data (i32.const 1200) "termination-log")
          (func $print (param $at i32) (param $len i32)
            (i32.store (i32.const 0) (local.get $at))
            (i32.store (i32.const 4) (local.get $len))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
          (func (export "_start") {body}))"#
    );
    wat::parse_str(text).expect("the text is well-formed")
}

/// Says hello and exits.
pub(super) fn exits_with(code: u32) -> Vec<u8> {
    guest(&format!("(call $print (i32.const 1024) (i32.const 6)) (call $exit (i32.const {code}))"))
}

/// Says hello and computes for ever.
pub(super) fn spins() -> Vec<u8> {
    guest("(call $print (i32.const 1024) (i32.const 6)) (loop $again (br $again))")
}

pub(super) fn traps() -> Vec<u8> {
    guest("unreachable")
}

/// Asks for a gigabyte.
pub(super) fn wants_memory() -> Vec<u8> {
    guest("(if (i32.eq (memory.grow (i32.const 16384)) (i32.const -1)) (then unreachable))")
}

/// Writes its environment, NUL after each variable.
pub(super) fn prints_environment() -> Vec<u8> {
    guest(
        "(drop (call $environ_sizes (i32.const 16) (i32.const 20)))
         (drop (call $environ (i32.const 2048) (i32.const 65536)))
         (call $print (i32.const 65536) (i32.load (i32.const 20)))",
    )
}

/// Writes what is in the file `key` of its first mount.
pub(super) fn prints_file() -> Vec<u8> {
    guest(
        "(if (call $open (i32.const 3) (i32.const 1) (i32.const 1100) (i32.const 3) (i32.const 0) (i64.const 2)
              (i64.const 0) (i32.const 0) (i32.const 32)) (then unreachable))
         (i32.store (i32.const 40) (i32.const 65536))
         (i32.store (i32.const 44) (i32.const 4096))
         (if (call $read (i32.load (i32.const 32)) (i32.const 40) (i32.const 1) (i32.const 48)) (then unreachable))
         (call $print (i32.const 65536) (i32.load (i32.const 48)))",
    )
}

/// A module that imports what nobody offers.
pub(super) fn imports_the_unknown() -> Vec<u8> {
    wat::parse_str(r#"(module (import "env" "mystery" (func)) (func (export "_start")))"#).expect("it is well-formed")
}

/// Writes "hello" to `termination-log` in its third mount, after the token and `/etc`, and exits.
pub(super) fn leaves_a_message(code: u32) -> Vec<u8> {
    writes(5, (1200, 15), (1024, 5), &format!("(call $exit (i32.const {code}))"))
}

/// Writes 192 KiB to the file `key` of its first mount, and computes for ever.
pub(super) fn fills_a_volume() -> Vec<u8> {
    writes(3, (1100, 3), (65536, 196_608), "(loop $again (br $again))")
}

/// Writes some of its memory to a file that it creates below the mount `fd`. Names and contents are a place and a length.
fn writes(fd: u32, name: (u32, u32), content: (u32, u32), then: &str) -> Vec<u8> {
    let ((name, name_len), (content, len)) = (name, content);
    guest(&format!(
        "(if (call $open (i32.const {fd}) (i32.const 1) (i32.const {name}) (i32.const {name_len}) (i32.const 1) (i64.const 64)
              (i64.const 0) (i32.const 0) (i32.const 32)) (then unreachable))
         (i32.store (i32.const 40) (i32.const {content}))
         (i32.store (i32.const 44) (i32.const {len}))
         (if (call $write (i32.load (i32.const 32)) (i32.const 40) (i32.const 1) (i32.const 48)) (then unreachable))
         {then}"
    ))
}
