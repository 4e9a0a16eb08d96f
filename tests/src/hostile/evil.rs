//! What a broker can do wrong. A schedule picks a few of these and does them now and then, or always.

use super::dice::Dice;
use super::packet::{connack, disconnect, frame, publish};

/// One way to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evil {
    /// To CONNECT: a refusal, with any code of the standard.
    Refuse,
    /// To CONNECT: nothing.
    Mute,
    /// To CONNECT: half an answer, or bytes that are none.
    HalfConnack,
    /// In CONNACK: receive maximum 1 (or 0, which is forbidden).
    ReceiveOne,
    /// In CONNACK: packets of a few bytes.
    TinyPackets,
    /// In CONNACK: no keep alive.
    KeepAliveNone,
    /// In CONNACK: a keep alive of 18 hours.
    KeepAliveLong,
    /// The session is gone.
    Forget,
    /// It says the session is there, and it is not; or the reverse.
    LieAboutSession,
    /// PUBACK never.
    AckNever,
    /// PUBACK late.
    AckLate,
    /// PUBACK twice.
    AckTwice,
    /// PUBACKs in the reverse order.
    AckReversed,
    /// PUBACK with an error code.
    AckError,
    /// PUBACK of an id that was never used.
    AckUnknown,
    /// PUBACK, and the message is thrown away.
    AckAndLose,
    /// PUBREC instead of PUBACK.
    AckAsTwo,
    /// SUBACK without codes.
    SubackEmpty,
    /// SUBACK with refusals.
    SubackRefused,
    /// SUBACK never.
    SubackNever,
    /// PINGRESP never.
    PingNever,
    /// DISCONNECT with any reason.
    Disconnect,
    /// DISCONNECT as brokers send it that leave out what is zero.
    DisconnectShort,
    /// Another client has the name.
    TakenOver,
    /// The connection is reset.
    Reset,
    /// The connection is closed.
    Close,
    /// Nothing more is said or read.
    HalfOpen,
    /// A byte now and then.
    Slow,
    /// A packet is cut and the connection closed.
    Cut,
    /// Bytes that are no packet.
    Garbage,
    /// A packet that claims to be 256 MB.
    Huge,
    /// A topic alias that was never agreed upon.
    Alias,
    /// A packet only clients send, or one nobody asked for.
    OutOfPlace,
    /// QoS 2.
    ExactlyOnce,
    /// An acknowledgement of an epoch nobody knows.
    ForeignAck,
    /// A message that is no message of ours.
    Nonsense,
    /// Messages reach the broker, and the collector does not hear of them.
    CollectorDeaf,
}

/// All of them.
pub const ALL: [Evil; 37] = [
    Evil::Refuse,
    Evil::Mute,
    Evil::HalfConnack,
    Evil::ReceiveOne,
    Evil::TinyPackets,
    Evil::KeepAliveNone,
    Evil::KeepAliveLong,
    Evil::Forget,
    Evil::LieAboutSession,
    Evil::AckNever,
    Evil::AckLate,
    Evil::AckTwice,
    Evil::AckReversed,
    Evil::AckError,
    Evil::AckUnknown,
    Evil::AckAndLose,
    Evil::AckAsTwo,
    Evil::SubackEmpty,
    Evil::SubackRefused,
    Evil::SubackNever,
    Evil::PingNever,
    Evil::Disconnect,
    Evil::DisconnectShort,
    Evil::TakenOver,
    Evil::Reset,
    Evil::Close,
    Evil::HalfOpen,
    Evil::Slow,
    Evil::Cut,
    Evil::Garbage,
    Evil::Huge,
    Evil::Alias,
    Evil::OutOfPlace,
    Evil::ExactlyOnce,
    Evil::ForeignAck,
    Evil::Nonsense,
    Evil::CollectorDeaf,
];

/// Every reason a CONNACK may refuse with.
pub const REFUSALS: [u8; 22] = [
    0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A,
    0x9B, 0x9C, 0x9D, 0x9F, 0xFF,
];

/// Every reason a broker may disconnect with, but that of a take-over.
const REASONS: [u8; 27] = [
    0x00, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2, 0xFE,
];

/// Every error a PUBACK may carry.
pub const ACK_ERRORS: [u8; 7] = [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// What a broker that has these evils in it says of its own accord, and whether it then ends the connection.
pub fn outburst(evil: Evil, dice: &mut Dice) -> Option<(Vec<u8>, Ending)> {
    let id = u16::try_from(dice.of(1, 20)).unwrap();
    let [a, b] = id.to_be_bytes();
    let mut ending = Ending::Stay;
    let bytes = match evil {
        Evil::Disconnect => {
            ending = Ending::Close;
            disconnect(dice.pick(&REASONS))
        }
        Evil::DisconnectShort => {
            ending = Ending::Close;
            let reason = dice.pick(&REASONS);
            if dice.percent(50) { vec![0xE0, 0] } else { vec![0xE0, 1, reason] }
        }
        Evil::TakenOver => {
            ending = Ending::Close;
            disconnect(0x8E)
        }
        Evil::Reset => {
            ending = Ending::Reset;
            Vec::new()
        }
        Evil::Close => {
            ending = Ending::Close;
            Vec::new()
        }
        Evil::HalfOpen => {
            ending = Ending::HalfOpen;
            Vec::new()
        }
        Evil::Cut => {
            ending = Ending::Close;
            let whole = publish("fieldmouse/1/lab/n-1/ack", Some(9), false, &[], &[0; 40]);
            let at = 1 + dice.below(whole.len() - 1);
            whole[..at].to_vec()
        }
        Evil::Garbage => dice.bytes(300),
        Evil::Huge => vec![dice.byte(), 0xFF, 0xFF, 0xFF, 0x7F, 0, 0],
        Evil::Alias => publish("", Some(id), false, &[35, 0, 7], b"x"),
        Evil::OutOfPlace => match dice.below(8) {
            0 => connack(true, 0, &[]),
            1 => frame(0x10, b"\0\x04MQTT\x05\x02\0\x0a\0\0\x01a"),
            2 => frame(0x82, &[a, b, 0, 0, 1, b'a', 1]),
            3 => frame(0xF0, &[0, 0]),
            4 => frame(0x62, &[a, b]),
            5 => frame(0x70, &[a, b]),
            6 => vec![0xC0, 0],
            _ => frame(0xB0, &[a, b, 0, 0]),
        },
        Evil::ExactlyOnce => {
            let mut p = publish("fieldmouse/1/lab/n-1/ack", Some(id), false, &[], b"x");
            p[0] = 0x34;
            p.extend(frame(0x62, &[a, b]));
            p
        }
        Evil::ForeignAck => {
            publish("fieldmouse/1/lab/n-1/ack", Some(id), false, &[], &super::collector::ack(dice.any(), 9))
        }
        Evil::Nonsense => {
            let junk = dice.bytes(2000);
            publish("fieldmouse/1/lab/n-1/ack", Some(id), dice.percent(50), &[], &junk)
        }
        _ => return None,
    };
    Some((bytes, ending))
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It goes on.
    Stay,
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
    /// It stands, and nobody is there.
    HalfOpen,
}
