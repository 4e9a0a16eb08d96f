//! Why a model is refused: what, where, the offending text, and what is allowed.

/// A refused model, or a run that could not be done. Nothing here is fatal to the agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The bytes are not a protobuf of the expected structure.
    #[error("not a readable ONNX file: {what} at byte {at}")]
    Malformed {
        /// What is wrong with the bytes.
        what: String,
        /// Offset in the file.
        at: usize,
    },
    /// A limit of the contract is exceeded.
    #[error("{place}: {what} is {got}, allowed are at most {max}")]
    TooLarge {
        /// Where in the model.
        place: String,
        /// The quantity that is limited.
        what: &'static str,
        /// Its value.
        got: u64,
        /// The limit.
        max: u64,
    },
    /// An operator that is not in the contract.
    #[error("operator `{op}` (node `{node}`) is not in the contract; allowed: {allowed}")]
    Operator {
        /// The operator, with its domain when it is not the default one.
        op: String,
        /// The node's name.
        node: String,
        /// Every operator of the contract.
        allowed: String,
    },
    /// Anything else the contract does not allow.
    #[error("{place}: {what}; allowed: {allowed}")]
    Refused {
        /// Where in the model.
        place: String,
        /// What was found there.
        what: String,
        /// What may stand there instead.
        allowed: String,
    },
    /// A buffer of the caller has the wrong length.
    #[error("`{name}` holds {got} values, expected {expected}")]
    Buffer {
        /// Which buffer.
        name: &'static str,
        /// Its length.
        got: usize,
        /// The length that batch, window and quantiles ask for.
        expected: usize,
    },
    /// The inference library refused what passed every check.
    #[error("{stage}: {reason}")]
    Engine {
        /// What was being done.
        stage: String,
        /// The library's own words.
        reason: String,
    },
}

pub(super) type Result<T> = std::result::Result<T, ModelError>;

pub(super) fn refused(
    place: impl Into<String>,
    what: impl Into<String>,
    allowed: impl Into<String>,
) -> ModelError {
    ModelError::Refused { place: place.into(), what: what.into(), allowed: allowed.into() }
}

/// Refuses `got` when it is above `max`.
pub(super) fn at_most(place: &str, what: &'static str, got: u64, max: u64) -> Result<()> {
    if got <= max {
        return Ok(());
    }
    Err(ModelError::TooLarge { place: place.to_owned(), what, got, max })
}

pub(super) fn engine(stage: impl Into<String>, reason: &impl std::fmt::Display) -> ModelError {
    ModelError::Engine { stage: stage.into(), reason: format!("{reason:#}") }
}
