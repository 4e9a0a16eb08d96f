//! Signs of a crash or of a start, in the words in which programs and kernels of all kinds tell of them.

use serde::{Deserialize, Serialize};

/// What a line is a sign of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sign {
    /// Something has begun to run. Again, if it was seen before.
    Start,
    /// A program has died of itself.
    Crash,
    /// The kernel is in trouble, or had to kill.
    Kernel,
}

/// Words by which it is known, in lower case; and what is said of it.
const SIGNS: [(&str, Sign, &str); 49] = [
    ("kernel panic", Sign::Kernel, "kernel panic"),
    ("out of memory: kill", Sign::Kernel, "out of memory, a process was killed"),
    ("oom-kill", Sign::Kernel, "out of memory, a process was killed"),
    ("invoked oom", Sign::Kernel, "out of memory, a process was killed"),
    ("killed process", Sign::Kernel, "out of memory, a process was killed"),
    ("kernel bug at", Sign::Kernel, "a bug in the kernel"),
    ("bug: unable to handle", Sign::Kernel, "a bug in the kernel"),
    ("unable to handle kernel", Sign::Kernel, "a bug in the kernel"),
    ("oops:", Sign::Kernel, "a bug in the kernel"),
    ("soft lockup", Sign::Kernel, "a processor that is stuck"),
    ("hard lockup", Sign::Kernel, "a processor that is stuck"),
    ("blocked for more than", Sign::Kernel, "a task that is stuck"),
    ("panicked at", Sign::Crash, "a panic"),
    ("panic: ", Sign::Crash, "a panic"),
    ("panic!", Sign::Crash, "a panic"),
    ("segfault", Sign::Crash, "a segmentation fault"),
    ("segmentation fault", Sign::Crash, "a segmentation fault"),
    ("general protection", Sign::Crash, "a protection fault"),
    ("sigsegv", Sign::Crash, "a segmentation fault"),
    ("sigabrt", Sign::Crash, "an abort"),
    ("sigbus", Sign::Crash, "a bus error"),
    ("sigill", Sign::Crash, "an illegal instruction"),
    ("core dumped", Sign::Crash, "a core dump"),
    ("core-dump", Sign::Crash, "a core dump"),
    ("dumped core", Sign::Crash, "a core dump"),
    ("code=dumped", Sign::Crash, "a core dump"),
    ("code=killed", Sign::Crash, "a process that was killed"),
    ("main process exited", Sign::Crash, "a service that died"),
    ("exited on signal", Sign::Crash, "a process that was killed"),
    ("killed by signal", Sign::Crash, "a process that was killed"),
    ("terminated by signal", Sign::Crash, "a process that was killed"),
    ("traceback (most recent call last)", Sign::Crash, "a traceback"),
    ("exception in thread", Sign::Crash, "an uncaught exception"),
    ("unhandled exception", Sign::Crash, "an uncaught exception"),
    ("uncaught", Sign::Crash, "an uncaught exception"),
    ("unhandledpromiserejection", Sign::Crash, "an uncaught exception"),
    ("fatal exception:", Sign::Crash, "an uncaught exception"),
    ("terminate called", Sign::Crash, "an uncaught exception"),
    ("outofmemoryerror", Sign::Crash, "a program out of memory"),
    ("stackoverflowerror", Sign::Crash, "a stack overflow"),
    ("stack smashing", Sign::Crash, "a damaged stack"),
    ("double free", Sign::Crash, "damaged memory"),
    ("assertion fail", Sign::Crash, "a failed assertion"),
    ("assertion `", Sign::Crash, "a failed assertion"),
    ("scheduled restart job", Sign::Start, "a restart"),
    ("restarting", Sign::Start, "a restart"),
    ("restarted", Sign::Start, "a restart"),
    ("linux version", Sign::Start, "a boot"),
    ("booting", Sign::Start, "a boot"),
];

/// What the text of a line is a sign of, and in which words that is told. Capitals matter not.
#[must_use]
pub fn sign(text: &str) -> Option<(Sign, &'static str)> {
    let found = SIGNS.iter().find(|(words, ..)| holds(text.as_bytes(), words.as_bytes()));
    found.map(|(_, sign, what)| (*sign, *what))
}

/// Whether the words begin where a word does.
fn holds(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).enumerate().any(|(at, window)| {
        window.eq_ignore_ascii_case(words) && (at == 0 || !text[at - 1].is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_of_all_kinds() {
        let check = |text: &str, want: Option<Sign>| assert_eq!(sign(text).map(|s| s.0), want, "{text}");
        check("thread '<*>' panicked at <*>", Some(Sign::Crash));
        check("panic: runtime error: index out of range", Some(Sign::Crash));
        check("Traceback (most recent call last):", Some(Sign::Crash));
        check("Exception in thread \"<*>\" java.lang.NullPointerException", Some(Sign::Crash));
        check("app[<*>]: segfault at <*> ip <*> sp <*> error <*>", Some(Sign::Crash));
        check("Out of memory: Killed process <*> (<*>)", Some(Sign::Kernel));
        check("nginx.service: Main process exited, code=dumped, status=<*>", Some(Sign::Crash));
        check("nginx.service: Scheduled restart job, restart counter is at <*>.", Some(Sign::Start));
        check("Linux version <*> (<*>)", Some(Sign::Start));
        check("terminate called after throwing an instance of 'std::bad_alloc'", Some(Sign::Crash));
        check("rebooting is something else", None);
        check("don't panic", None);
        check("", None);
    }
}
