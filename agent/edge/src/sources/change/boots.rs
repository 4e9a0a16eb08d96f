//! Whether the machine was shut down in good order before it was last started, from wtmp: a start without a shutdown
//! before it was a crash or a power cut. Systems without wtmp (musl, systemd since 2024 on some) cannot say.

/// Where it is.
pub(super) const FILE: &str = "var/log/wtmp";

/// Lengths of a record: with times of 32 bits in it, and of 64.
const LENGTHS: [usize; 2] = [384, 400];
const RUN_LEVEL: i16 = 1;
const BOOT: i16 = 2;
/// Kinds of records there are.
const KINDS: std::ops::RangeInclusive<i16> = 0..=9;

/// None if the records do not say.
pub(super) fn was_orderly(wtmp: &[u8]) -> Option<bool> {
    LENGTHS.iter().find_map(|length| {
        let records = wtmp.chunks_exact(*length);
        let fits = records.remainder().is_empty() && records.clone().all(|r| kind(r).is_some_and(|k| KINDS.contains(&k)));
        let mut said = records.rev().filter_map(starts_or_stops).skip_while(|starts| !starts).skip(1);
        said.next().filter(|_| fits).map(|starts| !starts)
    })
}

fn kind(record: &[u8]) -> Option<i16> {
    record.first_chunk().map(|bytes| i16::from_le_bytes(*bytes))
}

/// Whether a record is of a start of the machine, or of its end.
fn starts_or_stops(record: &[u8]) -> Option<bool> {
    let user = record.get(44..76)?;
    match kind(record)? {
        BOOT => Some(true),
        RUN_LEVEL if user.starts_with(b"shutdown\0") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(length: usize, list: &[(i16, &str)]) -> Vec<u8> {
        let record = |(kind, user): &(i16, &str)| {
            let mut record = vec![0; length];
            record[..2].copy_from_slice(&kind.to_le_bytes());
            record[44..44 + user.len()].copy_from_slice(user.as_bytes());
            record
        };
        list.iter().flat_map(record).collect()
    }

    #[test]
    fn a_start_without_a_shutdown_before_it_was_none_in_good_order() {
        let (boot, level, login, stop) = ((2, "reboot"), (1, "runlevel"), (7, "root"), (1, "shutdown"));
        for length in LENGTHS {
            let check = |list: &[(i16, &str)], want: Option<bool>| assert_eq!(was_orderly(&records(length, list)), want);
            check(&[boot, level, login, stop, boot, level, login], Some(true));
            check(&[stop, boot, level, login, boot, level], Some(false));
            check(&[boot, level, login], None);
            check(&[login, stop], None);
            check(&[], None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_return(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _any = was_orderly(&bytes);
        }
    }
}
