//! `fieldmouse-collector diagnose FOLDER`.

use std::path::Path;

use serde::Serialize;

use super::{BadFolder, Cause, Tuning, measure, rank, read};

/// Ranked causes of the failure in a folder.
///
/// # Errors
/// If the folder is not one of a failure.
pub fn diagnose(folder: &Path) -> Result<Vec<Cause>, BadFolder> {
    Ok(rank(&measure(&read(folder)?, &Tuning::DEFAULT)))
}

#[derive(Serialize)]
struct Line<'a> {
    rank: usize,
    service: &'a str,
    metric: &'a str,
    score: f64,
    why: &'a str,
}

/// One JSON object per line, the likeliest cause first.
///
/// # Errors
/// Never for causes that [`rank`] made; a score that is no number cannot be written.
pub fn print(causes: &[Cause]) -> serde_json::Result<String> {
    causes.iter().try_fold(String::new(), |mut text, c| {
        // Six digits are more than is known, and the same on every machine.
        let score = (c.score * 1e6).round() / 1e6;
        let line = Line { rank: c.rank, service: &c.entity, metric: &c.metric, score, why: &c.why };
        text.push_str(&serde_json::to_string(&line)?);
        text.push('\n');
        Ok(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files: name, then text.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    /// Ten rows before the failure at 1000 s and four since.
    fn rows(metric: &str, before: &str, since: &str) -> String {
        let row = |i: u32| format!("{},{}\n", 900 + 10 * i, if i < 10 { before } else { since });
        format!("timestamp,{metric}\n{}", (0..14).map(row).collect::<String>())
    }

    #[test]
    fn a_failure_is_told_in_lines_of_json() {
        let dir = folder(&[
            (
                "case.json",
                r#"{"injected_at": 1000, "interval_s": 10, "alert": {"service": "shop", "metric": "latency"},
                    "graph": [["shop", "pay"], ["pay", "db"]], "hosts": {}, "comment": "what is not known is let be"}"#,
            ),
            ("shop.csv", &rows("latency", "0.2", "0.9")),
            ("pay.csv", &rows("latency", "0.1", "0.8")),
            ("db.csv", &rows("latency", "0.01", "")),
            ("mail.csv", ""),
        ]);
        let causes = diagnose(dir.path()).unwrap();
        let text = print(&causes).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let of = |key: &str| lines.iter().map(|l| l[key].to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(of("rank"), "1 2 3 4", "{text}");
        assert_eq!(of("service"), r#""pay" "shop" "db" "mail""#, "{text}");
        assert_eq!(lines[0]["metric"], "latency");
        assert!(lines[0]["score"].as_f64().unwrap() > lines[1]["score"].as_f64().unwrap(), "{text}");
        assert_eq!(
            lines[0]["why"],
            "latency rose from 0.100 to 0.800, 70.0 times its usual swing; shop, which depends on it, is affected as well"
        );
        assert_eq!(print(&diagnose(dir.path()).unwrap()).unwrap(), text, "the same folder, the same bytes");
    }

    #[test]
    fn logs_are_evidence_wherever_they_stand() {
        let case = ("case.json", r#"{"injected_at": 1600000000}"#);
        let lines: String = (0..200)
            .map(|i| match i {
                0..100 => format!("{} served 7\n", 1_599_999_800 + 2 * i),
                _ => format!("{} error: connection {i} refused\n", 1_599_999_800 + 2 * i),
            })
            .collect();
        let quiet: String = (0..200).map(|i| format!("{} served 7\n", 1_599_999_800 + 2 * i)).collect();
        let table = |lines: &str| {
            let row = |l: &str| format!("{},pay-7d9f-x2,\"{}\"\n", &l[..10], &l[11..]);
            format!("Timestamp,PodName,Log\n{}", lines.lines().map(row).collect::<String>())
        };
        let metrics = [("pay.csv", "timestamp,cpu\n"), ("shop.csv", "timestamp,cpu\n")];
        let check = |logs: &[(&str, &str)]| {
            let dir = folder(&[&metrics[..], &[case], logs].concat());
            let causes = diagnose(dir.path()).unwrap();
            assert_eq!((causes.len(), causes[0].entity.as_str()), (2, "pay"), "{logs:?}: {causes:#?}");
            assert_eq!(causes[0].metric, "log");
            assert_eq!(
                causes[0].why,
                "its log has a new line (0 before, 100 since): `<*> error: connection <*> refused`"
                    .replace("<*> error", if logs[0].0.ends_with("csv") { "error" } else { "<*> error" })
            );
        };
        check(&[("pay.log", &lines), ("shop.log", &quiet)]);
        check(&[("logs/pay.txt", &lines), ("logs/shop-1.log", &quiet)]);
        check(&[("logs/pay/stderr", &lines), ("logs/shop/stdout", &quiet)]);
        check(&[("all_log.csv", &table(&lines))]);
        check(&[("logs/10_20.csv", &table(&lines))]);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_place_and_the_fix() {
        let check = |files: &[(&str, &str)], said: &str| {
            let dir = folder(files);
            let e = diagnose(dir.path()).unwrap_err().to_string();
            let e = e.replace(&dir.path().display().to_string(), "DIR");
            assert_eq!(e, said);
        };
        let case = ("case.json", r#"{"injected_at": 1000}"#);
        check(
            &[],
            "DIR/case.json: cannot be read: No such file or directory (os error 2); a folder with case.json and one CSV \
             file per service is wanted",
        );
        check(
            &[("case.json", r#"{"injected_at": "noon"}"#)],
            "DIR/case.json: injected_at: invalid type: string \"noon\", expected f64 at line 1 column 22; wanted are \
             injected_at (epoch seconds), and if known interval_s, alert, graph, hosts",
        );
        check(&[case], "DIR: no <service>.csv in it, so there is nobody to suspect");
        check(
            &[case, ("a.csv", "timestamp,cpu\nnoon,1\n")],
            "DIR/a.csv: line 2: \"noon\" is no time; the first column holds epoch seconds",
        );
        check(
            &[case, ("a.csv", "timestamp,cpu\n1,1\n2,1,1\n")],
            "DIR/a.csv: line 3: 3 cells where the header has 2; an empty cell is no data",
        );
    }
}
