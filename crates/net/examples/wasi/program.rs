//! How a program wants to be run and what it should do, known by its name: most run with a directory of their own and
//! return 0.

use std::path::Path;

use crate::world::{SERVER, SERVER_2};

/// What a program is given, and what is expected of it.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    /// Where it sees its directory.
    pub(crate) dirs: &'static [&'static str],
    /// A second directory, with the one file that it may read.
    pub(crate) read_only: Option<(&'static str, &'static str, &'static str)>,
    pub(crate) working_dir: Option<&'static str>,
    pub(crate) stdin: Option<&'static str>,
    /// The HTTP server that it is told of.
    pub(crate) server: Option<&'static str>,
    /// What a server is asked: the target, and lines of the head.
    pub(crate) request: (&'static str, &'static str),
    pub(crate) expected: Expected,
}

pub(crate) enum Expected {
    Code(i32),
    /// It traps, and the reason contains these words.
    Trap(&'static str),
    Output(String),
    /// It listens, and answers with this status.
    Status(u16),
    /// It never ends by itself, and is killed.
    Forever,
}

fn is_server(name: &str) -> bool {
    let is_http = name.starts_with("p3_http_") && !name.contains("_outbound_");
    is_http || name.contains("_cli_serve_") || name.contains("_api_proxy")
}

impl Program {
    pub(crate) fn new(file: &Path) -> Self {
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut program = Self {
            args: vec![name.clone(), ".".into()],
            env: vec![("ERRNO_MODE_UNIX".into(), "1".into())],
            files: Vec::new(),
            dirs: &["."],
            read_only: None,
            working_dir: None,
            stdin: None,
            server: Some(SERVER),
            request: ("/", "host: localhost"),
            expected: Expected::Code(0),
            name,
        };
        program.know();
        program
    }

    /// `p2 tcp` for `p2_tcp_bind`.
    pub(crate) fn group(&self) -> String {
        let words: Vec<&str> = self.name.split('_').take(2).collect();
        words.join(" ")
    }

    fn know(&mut self) {
        let name = self.name.clone();
        match name.as_str() {
            "p2_cli_args" => {
                self.args = ["x", "hello", "this", "", "is an argument", "with 🚩 emoji"].map(str::to_owned).into();
            }
            "p2_cli_initial_cwd" => self.working_dir = Some("/sandbox"),
            "p2_cli_argv0" => self.args = vec!["a".into(), "a".into()],
            "p2_cli_env" => {
                self.env = [("frabjous", "day"), ("callooh", "callay")].map(|(k, v)| (k.into(), v.into())).into();
                self.server = None;
            }
            "p2_cli_large_env" => {
                self.env = (0..10_000).map(|i| (format!("PATH{i}"), format!("{i}").repeat(10))).collect();
            }
            "p2_cli_file_read" => self.with_file("bar.txt", "And stood awhile in thought"),
            "p2_cli_file_append" | "p2_cli_file_dir_sync" => {
                self.with_file("bar.txt", "'Twas brillig, and the slithy toves.\n");
            }
            "p2_cli_directory_list" => {
                for file in ["foo.txt", "bar.txt", "baz.txt", "sub/wow.txt", "sub/yay.txt"] {
                    self.with_file(file, "");
                }
            }
            "p2_cli_multiple_preopens" => self.dirs = &["/a", "/b", "/c"],
            "p2_cli_stdin" | "p2_cli_splice_stdin" => self.stdin = Some("So rested he by the Tumtum tree"),
            "p2_cli_stdin_empty" => self.stdin = Some("not to be read"),
            "p3_cli_read_stdin" => self.stdin = Some("hello!"),
            "p3_cli_stdout_flush" => self.stdin = Some("x"),
            "p2_api_read_only" => {
                self.dirs = &[];
                self.read_only = Some(("/", "bar.txt", "And stood awhile in thought"));
            }
            "p2_cli_hostcall_fuel" => {
                self.args = vec!["x".into(), "read-file-big".into()];
                self.with_file("1mb", "");
                self.files = vec![("1mb", vec![0; 1 << 20])];
                self.dirs = &["."];
            }
            "p2_cli_http_headers" => {
                self.args = vec!["x".into(), "p3-append".into()];
                self.expected = Expected::Output("error received\n".into());
            }
            "p3_cli" => self.args[0] = "p3_cli.component".into(),
            "p2_cli_many_resources" | "p3_cli_many_tasks" => {
                self.expected = Expected::Trap("resource table has no free keys");
            }
            "p2_http_outbound_request_invalid_version" | "p3_http_outbound_request_invalid_version" => {
                self.server = Some(SERVER_2);
            }
            "p2_cli_serve_sleep" | "p3_cli_serve_sleep" => self.expected = Expected::Status(504),
            "p2_cli_exit_failure" => self.expected = Expected::Code(1),
            "p2_cli_exit_with_code" => self.expected = Expected::Code(42),
            "p2_cli_exit_panic" => self.expected = Expected::Trap("unreachable"),
            "p2_cli_much_stdout" | "p3_cli_much_stdout" => {
                self.args = vec!["x".into(), "a".repeat(1 << 12), (1 << 6).to_string()];
                self.expected = Expected::Output("a".repeat(1 << 18));
            }
            "p2_cli_sleep_forever" => self.expected = Expected::Forever,
            "p3_cli_random_limits" => self.args = ["x", "random", "256"].map(str::to_owned).into(),
            "p3_cli_hello_stdout" | "p3_cli_hello_stdout_post_return" => {
                self.expected = Expected::Output("hello, world\n".into());
            }
            "p2_pollable_traps" => self.expected = Expected::Trap("empty poll list"),
            "p2_stream_pollable_traps" => self.expected = Expected::Trap("resource has children"),
            "p2_udp_send_too_much" => self.expected = Expected::Trap("permitted"),
            "p2_cli_serve_return_before_set" | "p2_cli_serve_trap_before_set" => {
                self.expected = Expected::Status(502);
            }
            "p2_file_stream_not_permitted" => {
                self.read_only = Some(("readonly", "stream-perms.txt", "stream permission test\n"));
            }
            "p2_api_proxy_forward_request" => self.asked("/", "host: 10.0.0.2:3000"),
            "p2_api_proxy_streaming" => self.asked("/hash-all", "host: localhost\r\nurl: http://10.0.0.2:3000/"),
            "p3_http_proxy" => self.asked("/", "host: localhost\r\nurl: http://10.0.0.2:3000/"),
            name if name.contains("_file_") && (name.ends_with("_readonly") || name.ends_with("_across_perms")) => {
                self.read_only = Some(("readonly", "test.txt", "read only test file\n"));
            }
            name if is_server(name) => {
                self.asked("/", "host: localhost");
            }
            _ => {}
        }
    }

    /// It is a server, and answers this request.
    fn asked(&mut self, target: &'static str, head: &'static str) {
        self.dirs = &[];
        self.request = (target, head);
        self.expected = Expected::Status(200);
    }

    fn with_file(&mut self, name: &'static str, content: &str) {
        self.dirs = &["/"];
        self.files.push((name, content.as_bytes().to_vec()));
    }
}
