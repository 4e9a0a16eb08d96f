//! A real mosquitto on a free port of the loopback, and certificates for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::wait::{LIMIT, wait_for};

/// A broker that lives as long as this value.
#[derive(Debug)]
pub struct Mosquitto {
    child: Child,
    /// Where it listens.
    pub port: u16,
    /// Where it listens for the test alone, without TLS or password.
    pub side_port: u16,
}

impl Mosquitto {
    /// A plain broker that takes anybody.
    #[must_use]
    pub fn plain(dir: &Path) -> Self {
        Self::on(dir, crate::free_port(), "allow_anonymous true")
    }

    /// A broker whose listener on `port` has these lines of configuration.
    #[must_use]
    pub fn on(dir: &Path, port: u16, lines: &str) -> Self {
        let side_port = crate::free_port();
        let conf = format!(
            "per_listener_settings true\nuser root\nlistener {port} 127.0.0.1\n{lines}\nlistener {side_port} 127.0.0.1\nallow_anonymous true\n"
        );
        let file = dir.join("mosquitto.conf");
        std::fs::write(&file, conf).unwrap();
        let mut child = Command::new(program("mosquitto"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("mosquitto.log")).unwrap())
            .spawn()
            .unwrap();
        wait_for(LIMIT, "mosquitto to listen", || {
            let log = || std::fs::read_to_string(dir.join("mosquitto.log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "mosquitto ended:\n{}", log());
            std::net::TcpStream::connect(("127.0.0.1", side_port)).ok()
        });
        Self { child, port, side_port }
    }

    /// The plain address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Where a program of the package mosquitto is. Servers live where not every user's path leads.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = places.into_iter().map(|p| p.join(name)).find(|p| p.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed; install it: apt-get install mosquitto"))
}

/// Writes a password file with one user and returns its path.
#[must_use]
pub fn passwords(dir: &Path, user: &str, password: &str) -> PathBuf {
    let file = dir.join("passwords");
    let done = Command::new(program("mosquitto_passwd"))
        .args(["-c", "-b"])
        .arg(&file)
        .args([user, password])
        .status()
        .unwrap();
    assert!(done.success(), "mosquitto_passwd");
    file
}

/// An authority (`ca.pem`), the broker's certificate for the loopback (`broker.pem`) and one for a device
/// (`mouse.pem`), with their keys, all in `dir`.
pub fn certificates(dir: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(dir, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca"));
    std::fs::write(dir.join("san"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    for name in ["broker", "mouse"] {
        openssl(dir, &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(
            dir,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out {name}.pem -extfile san"
            ),
        );
    }
}

fn openssl(dir: &Path, args: &str) {
    let done = Command::new("openssl").args(args.split(' ')).current_dir(dir).output();
    let done = done.unwrap_or_else(|e| panic!("openssl: {e}; install it: apt-get install openssl"));
    assert!(done.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&done.stderr));
}
