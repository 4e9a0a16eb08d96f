//! The collector as a whole: what is started in which order, and stopped in the reverse.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;

use crate::api::{self, State};
use crate::broker::Broker;
use crate::clock;
use crate::config::{self, Config, Place, Remote};
use crate::counters::Counters;
use crate::desk::{self, Bell, Desk};
use crate::health;
