//! What a scan found of one epoch, and what is missing from it.

use fieldmouse_core::wire::loss;

use super::cursor::Noted;
use super::ranges::{Range, carve};
use super::recovery::Recovery;
use super::sending::Ahead;
use super::{Cover, Lane, Rec};

/// What a scan knows of one epoch.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) recs: Vec<Rec>,
    pub(super) covers: Vec<Cover>,
    pub(super) highest: u64,
}

/// What an epoch holds, with what is missing from it.
pub(super) fn lane_of(epoch: u64, noted: Option<&Noted>, mut seen: Seen, report: &mut Recovery) -> Lane {
    // A number may stand twice, in a segment and in its copy: they are the same.
    seen.recs.sort_by_key(|r| r.seq);
    seen.recs.dedup_by_key(|r| r.seq);
    seen.covers.sort_by_key(|c| c.seq);
    seen.covers.dedup_by_key(|c| c.seq);
    let lowest = seen
        .recs
        .first()
        .map(|r| r.seq)
        .into_iter()
        .chain(seen.covers.iter().map(|c| c.range.first))
        .min()
        .unwrap_or(seen.highest + 1);
    let mut lane = Lane::new(epoch);
    lane.acked = noted.map_or(lowest - 1, |n| n.acked);
    lane.guessed = (noted.is_none() && lowest > 1).then_some(0);
    lane.next = noted.map_or(1, |n| n.next).max(seen.highest + 1).max(lane.acked + 1);
    seen.recs.retain(|r| r.seq > lane.acked);
    lane.recs = seen.recs.into();
    lane.covers = seen.covers.into_iter().filter(|c| c.seq > lane.acked).collect();
    lane.opened = lane.next;
    lane.ready = lane.next - 1;
    lane.sent = lane.acked;
    lane.ahead = Ahead::from(lane.ready);
    lane.lost = noted.map_or(0, |n| n.lost);
    // Every number without a record is covered by a loss record, or noted with its reason, or was damaged.
    let mut gaps = Vec::new();
    let mut from = lane.acked + 1;
    for rec in &lane.recs {
        gaps.push((from, rec.seq));
        from = rec.seq + 1;
    }
    gaps.push((from, lane.next));
    let mut said: Vec<Range> = lane.covers.iter().map(|c| c.range).collect();
    said.sort_unstable_by_key(|r| r.first);
    let holes = noted.map(|n| n.holes.as_slice()).unwrap_or_default();
    for (first, end) in gaps {
        for (first, end, known) in carve(first, end, &said) {
            if known.is_some() {
                continue;
            }
            for (first, end, reason) in carve(first, end, holes) {
                let count = end - first;
                lane.holes.add(Range { first, count, reason: reason.unwrap_or(loss::DAMAGED) });
                if reason.is_none() {
                    lane.lost += count;
                    report.lost += count;
                }
            }
        }
    }
    lane
}
