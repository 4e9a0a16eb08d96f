//! A real PostgreSQL server in a folder of its own, on a free port of the loopback. The unit tests of the collector's store
//! have this file too.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A server that lives as long as this value.
#[derive(Debug)]
pub struct Postgres {
    dir: tempfile::TempDir,
    user: Option<(u32, u32)>,
    port: u16,
    options: &'static str,
}

impl Postgres {
    /// Makes an empty cluster and starts it, as durable as a server is by default.
    ///
    /// # Panics
    /// If a program is missing or fails.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(&std::env::temp_dir())
    }

    /// The same below a folder.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    #[must_use]
    pub fn start_in(place: &Path) -> Self {
        let server = Self::made(place, "");
        server.resume();
        server
    }

    /// One that speaks TLS alone, by a certificate for 127.0.0.1 of an [authority](Postgres::authority) of its own, and
    /// wants this password.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    #[must_use]
    pub fn start_tls(password: &str) -> Self {
        let server = Self::made(
            &std::env::temp_dir(),
            "-c ssl=on -c ssl_cert_file=../server.pem -c ssl_key_file=../server.key",
        );
        let here = server.dir.path();
        std::fs::write(here.join("san"), "subjectAltName=IP:127.0.0.1\n").expect("a file");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for line in [
            format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority-{}", server.port),
            format!("req {key} -keyout server.key -out server.csr -subj /CN=server"),
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile san"
                .to_owned(),
        ] {
            server.run("openssl", &line.split(' ').collect::<Vec<_>>());
        }
        let hba = Path::new(&server.data()).join("pg_hba.conf");
        std::fs::write(&hba, "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
            .expect("a file");
        server.resume();
        let sql = format!("ALTER USER postgres PASSWORD '{password}'");
        let (port, socket) = (server.port.to_string(), here.display().to_string());
        server.run("psql", &["-q", "-h", &socket, "-p", &port, "-U", "postgres", "-c", &sql]);
        server
    }

    /// Whose word its certificate has, for one that speaks TLS.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// An empty cluster, not started.
    fn made(place: &Path, options: &'static str) -> Self {
        let place = place.canonicalize().expect("a folder");
        let dir = tempfile::tempdir_in(place).expect("a folder");
        let own = std::fs::metadata("/proc/self").expect("/proc").uid();
        // The server refuses to run as root.
        let user = (own == 0).then(account);
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).expect("chown");
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let server = Self { dir, user, port, options };
        let data = server.data();
        let init = [
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--pgdata",
            &data,
        ];
        server.run("initdb", &init);
        server
    }

    /// Starts it again after [`Postgres::halt`].
    pub fn resume(&self) {
        let (port, more, here) = (self.port, self.options, self.dir.path().display());
        let options = format!("-p {port} -c listen_addresses=127.0.0.1 -k {here} {more}");
        let log = self.dir.path().join("log").display().to_string();
        self.run("pg_ctl", &["start", "-w", "-D", &self.data(), "-l", &log, "-o", &options]);
    }

    /// Stops it as a power cut would; connections are cut off.
    pub fn halt(&self) {
        self.run("pg_ctl", &["stop", "-w", "-m", "immediate", "-D", &self.data()]);
    }

    /// Where its only database is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    fn run(&self, name: &str, args: &[&str]) {
        let mut command = Command::new(program(name));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        // A file, because the server inherits it and would keep a pipe open.
        let said = self.dir.path().join("said");
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&said).expect("a file"));
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        let done = command.status().unwrap_or_else(|e| panic!("{name}: {e}"));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        assert!(done.success(), "{name}: {}{}", read(&said), read(&self.dir.path().join("log")));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if Path::new(&self.data()).join("postmaster.pid").exists() {
            self.halt();
        }
    }
}

/// User and group of the package's account.
fn account() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let found = users.lines().find_map(|line| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    found.expect("no user postgres; install it: apt-get install postgresql")
}

/// Where a program of the server is. Debian keeps each version's in a folder of its own.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    places.sort();
    places.reverse();
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let found = places.into_iter().map(|place| place.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed; install it: apt-get install postgresql"))
}
