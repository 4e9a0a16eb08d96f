//! From the configuration to models that may run: each file is read once, tried in a process of its own, compared with
//! the golden vectors beside it, and only then loaded. A model that fails any of this is off; the agent starts all the same.

use std::path::Path;

use anyhow::bail;
#[cfg(feature = "onnx")]
use {
    super::joint::Joint,
    super::onnx::{self, FORECAST, Model},
    super::trial,
    anyhow::Context,
    std::borrow::Cow,
    std::io::Read,
    std::path::PathBuf,
};

use super::Forecaster;
use super::models::{Engine, Models, Own};
use crate::config;

/// Bytes of stack that loading may take, and a thread of the pool has not.
pub const STACK: usize = 4 << 20;

/// Loads what is configured. An engine goes deep while it prepares a graph: in a thread of [`STACK`], or in the first.
#[must_use]
pub fn models(written: &config::Models) -> Models {
    let device = if written.device.enabled {
        device(written.device.file.as_deref())
            .map_or_else(|error| Engine::Off(format!("{error:#}")), Engine::forecast)
    } else {
        Engine::Off(String::new())
    };
    let own = written.own.iter().map(|own| {
        let (contract, engine) =
            self::own(own).unwrap_or_else(|error| (String::new(), Engine::Off(format!("{error:#}"))));
        Own::new(&own.name, own.file.clone(), &contract, own.series.clone(), engine)
    });
    Models::new(device, own.collect())
}

#[cfg(feature = "onnx")]
fn device(file: Option<&Path>) -> anyhow::Result<Forecaster> {
    let Some(file) = file else { return Forecaster::new(super::SHIPPED).context("the shipped model") };
    let place = || file.display().to_string();
    let bytes = tried(file, Some(FORECAST)).with_context(place)?.0;
    Forecaster::new(&bytes).with_context(place)
}

#[cfg(feature = "onnx")]
fn own(own: &config::Own) -> anyhow::Result<(String, Engine)> {
    let contract = own.contract.as_deref();
    let place = || own.file.display().to_string();
    let (bytes, _) = tried(&own.file, contract).with_context(place)?;
    let info = Model::inspect_as(&bytes, contract).with_context(place)?;
    let engine = if info.contract == FORECAST {
        if let Some(every) = own.every {
            bail!("`every = \"{every}\"` is for {}; a forecast is asked for at every tick", super::SCORE);
        }
        Engine::forecast(Forecaster::new(&bytes).with_context(place)?)
    } else {
        let model = Model::load_as(&bytes, contract, 1).with_context(place)?;
        Engine::Joint(Box::new(Joint::new(model, own.every.map_or(0, |every| every.0))))
    };
    Ok((info.contract, engine))
}

#[cfg(not(feature = "onnx"))]
fn device(file: Option<&Path>) -> anyhow::Result<Forecaster> {
    match file {
        Some(file) => bail!("{}: {NO_RUNTIME}", file.display()),
        None => bail!(""),
    }
}

#[cfg(not(feature = "onnx"))]
fn own(own: &config::Own) -> anyhow::Result<(String, Engine)> {
    bail!("{}: {NO_RUNTIME}", own.file.display())
}

/// Why there is no model in a build without them.
#[cfg(not(feature = "onnx"))]
pub const NO_RUNTIME: &str = "this build has no ONNX runtime; build with the feature `onnx`";

/// A file that passed: its bytes, what the trial found, and the golden vectors beside it.
///
/// # Errors
/// Why it may not be used.
#[cfg(feature = "onnx")]
pub fn tried(file: &Path, contract: Option<&str>) -> anyhow::Result<(Vec<u8>, trial::Tried)> {
    let bytes = read(file)?;
    let found = trial::try_out(Path::new(trial::THIS_PROGRAM), &bytes, contract)?;
    if let Some((golden, text)) = golden_beside(file)? {
        let (worst, _) = agreement(&bytes, contract, &text).with_context(|| golden.display().to_string())?;
        if worst > AGREEMENT || worst.is_nan() {
            bail!(
                "differs from its golden vectors in {} by {worst:.2e}; at most {AGREEMENT:e}",
                golden.display()
            );
        }
    }
    Ok((bytes, found))
}

/// The largest difference to golden vectors that is allowed, of the larger of one and the expected value.
#[cfg(feature = "onnx")]
pub const AGREEMENT: f32 = 1e-4;

/// The bytes of a model's file.
#[cfg(feature = "onnx")]
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let unreadable = "cannot be read";
    let meta = std::fs::metadata(file).context(unreadable)?;
    if !meta.is_file() {
        bail!("is no file; write the path of an ONNX file");
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).context(unreadable)?;
    opened.take(onnx::MAX_FILE_BYTES + 1).read_to_end(&mut bytes).context(unreadable)?;
    Ok(bytes)
}

/// `press.golden.csv` beside `press.onnx`, else `golden.csv`.
///
/// # Errors
/// If it is there and cannot be read.
#[cfg(feature = "onnx")]
pub fn golden_beside(file: &Path) -> anyhow::Result<Option<(PathBuf, Cow<'static, str>)>> {
    for path in [file.with_extension("golden.csv"), file.with_file_name("golden.csv")] {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok(Some((path, text.into()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", path.display())),
        }
    }
    Ok(None)
}

/// The largest difference to golden vectors, of the larger of one and the expected value, and how many there are.
/// Each line holds the values of an input row and of the output row that a reference runtime gave for it.
///
/// # Errors
/// If a line does not fit the model, or the model fails.
#[cfg(feature = "onnx")]
pub fn agreement(bytes: &[u8], contract: Option<&str>, golden: &str) -> anyhow::Result<(f32, usize)> {
    let mut model = Model::load_as(bytes, contract, 1)?;
    let (fed, given) = model.info().values();
    let mut out = vec![0.0; given];
    let (mut worst, mut rows) = (0.0f32, 0);
    for (at, line) in golden.lines().enumerate() {
        let place = || format!("line {}", at + 1);
        let row = line.split(',').map(|text| {
            text.trim().parse::<f32>().with_context(|| format!("{}: `{text}` is no number", place()))
        });
        let row = row.collect::<anyhow::Result<Vec<f32>>>()?;
        if row.len() != fed + given {
            bail!("{}: {} values; the model reads {fed} and gives {given}", place(), row.len());
        }
        model.run(&row[..fed], &mut out)?;
        let far = |(a, b): (&f32, &f32)| (a - b).abs() / b.abs().max(1.0);
        // A difference that is no number is the worst of all.
        let differences = out.iter().zip(&row[fed..]).map(far);
        worst = differences.fold(worst, |worst, d| if d > worst || d.is_nan() { d } else { worst });
        rows += 1;
    }
    Ok((worst, rows))
}
