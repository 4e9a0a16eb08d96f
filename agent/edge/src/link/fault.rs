//! Why a connection ended, as far as it decides what to do next.

use rumqttc::v5::mqttbytes::Error as MqttError;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::{ConnectionError, StateError};
use rustls::CertificateError;

use crate::floor::{Floor, date};

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

/// An error of the client for people.
pub(super) fn words(e: &ConnectionError, floor: &Floor) -> String {
    if let ConnectionError::Tls(rumqttc::TlsError::Io(e)) = e
        && let Some(e) = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>())
    {
        return words_of_tls(e, floor);
    }
    e.to_string()
}

/// An error of TLS for people: where time is the matter, it is told whose.
#[must_use]
pub fn words_of_tls(e: &rustls::Error, floor: &Floor) -> String {
    let clock = || format!("this device's clock says {}", floor.words());
    match e {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            format!("certificate expired: it was valid until {}; {}", date(not_after.as_secs()), clock())
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            format!("certificate not valid yet: it will be from {}; {}", date(not_before.as_secs()), clock())
        }
        e => format!("TLS: {e}"),
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
