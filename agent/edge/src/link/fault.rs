//! Why a connection ended, as far as it decides what to do next.

use rumqttc::v5::mqttbytes::Error as MqttError;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::{ConnectionError, StateError};

/// What kind of end that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The network, the broker.
    Other,
    /// The broker closed it, and will have closed those of others too.
    Closed,
    /// We are not wanted, or do not trust the broker: trying often does not help.
    Refused,
    /// Another client uses our name.
    TakenOver,
    /// What came could not be read. It would come again.
    Poison,
    /// Connected, and yet nothing moves: what the broker holds of our session may be the reason.
    Stuck,
}

impl Fault {
    /// The kind of an error of the client.
    pub(super) fn of(e: &ConnectionError) -> Self {
        match e {
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword
                | ConnectReturnCode::NotAuthorized
                | ConnectReturnCode::Banned
                | ConnectReturnCode::BadAuthenticationMethod
                | ConnectReturnCode::BadClientId
                | ConnectReturnCode::ClientIdentifierNotValid
                | ConnectReturnCode::RefusedProtocolVersion
                | ConnectReturnCode::UnsupportedProtocolVersion,
            ) => Fault::Refused,
            ConnectionError::Tls(rumqttc::TlsError::Io(e)) if e.kind() == std::io::ErrorKind::InvalidData => {
                Fault::Refused
            }
            ConnectionError::Tls(rumqttc::TlsError::TLS(_) | rumqttc::TlsError::DNSName(_)) => Fault::Refused,
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => match reason_code
            {
                DisconnectReasonCode::SessionTakenOver => Fault::TakenOver,
                DisconnectReasonCode::NotAuthorized => Fault::Refused,
                _ => Fault::Closed,
            },
            ConnectionError::MqttState(StateError::ConnectionAborted) => Fault::Closed,
            ConnectionError::MqttState(StateError::Deserialization(e)) => match e {
                MqttError::Io(e) if is_close(e) => Fault::Closed,
                // Packets of ours that are too large for this broker, a goodbye without a reason.
                MqttError::Io(_) | MqttError::OutgoingPacketTooLarge { .. } | MqttError::PayloadRequired => {
                    Fault::Other
                }
                _ => Fault::Poison,
            },
            ConnectionError::MqttState(StateError::Io(e)) | ConnectionError::Io(e) if is_close(e) => {
                Fault::Closed
            }
            _ => Fault::Other,
        }
    }
}

/// The other side ended it, as opposed to a network that no longer carries.
fn is_close(e: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        e.kind(),
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
    )
}
