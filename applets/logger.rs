//! The log: text or JSON, to standard error or a file, in the form that engines read.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context, bail};
use log::{Level, LevelFilter, Log, Metadata, Record};
use nskit::error::shortened;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `time="…" level=… msg="…"` in a file, `nskit: …` on a terminal's reader.
    Text,
    /// `{"level":"…","msg":"…","time":"…"}`, one object a line.
    Json,
}

struct Logger {
    file: Option<File>,
    format: Format,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Starts to log to `file`, or to standard error.
///
/// # Errors
/// When the file cannot be opened, or there is no such level.
pub(crate) fn start(file: Option<&str>, format: Format, debug: bool, level: Option<&str>) -> anyhow::Result<()> {
    let level = match level {
        _ if debug => LevelFilter::Debug,
        None => LevelFilter::Warn,
        Some("error" | "fatal" | "panic") => LevelFilter::Error,
        Some("warning" | "warn") => LevelFilter::Warn,
        Some("info") => LevelFilter::Info,
        Some("debug" | "trace") => LevelFilter::Debug,
        Some(other) => bail!("--log-level: there is no level {other:?}"),
    };
    // crun's notation says what kind of log it is.
    let path = file.map(|file| file.strip_prefix("file:").unwrap_or(file)).filter(|file| !file.is_empty());
    let file = match path {
        None => None,
        Some(path) => Some(
            File::options()
                .append(true)
                .create(true)
                .mode(0o644)
                .open(path)
                .with_context(|| format!("open log {path}"))?,
        ),
    };
    install(Logger { file, format }, level)
}

/// Starts to log to an open file, as text: everything in `debug`, else what an operator should know.
///
/// # Errors
/// When the log was started before.
pub(crate) fn start_on(file: File, debug: bool) -> anyhow::Result<()> {
    let level = if debug { LevelFilter::Debug } else { LevelFilter::Warn };
    // Whoever is more curious has said so before.
    install(Logger { file: Some(file), format: Format::Text }, level.max(log::max_level()))
}

fn install(logger: Logger, level: LevelFilter) -> anyhow::Result<()> {
    log::set_logger(LOGGER.get_or_init(|| logger)).map_err(|_| anyhow::anyhow!("the log was started twice"))?;
    log::set_max_level(level);
    Ok(())
}

/// Whether the log is a file, so that a failure must be told on standard error besides.
pub(crate) fn writes_to_file() -> bool {
    LOGGER.get().is_none_or(|logger| logger.file.is_some())
}

/// `message` with what a terminal would obey, and line ends, as escapes: names in it may be of anybody's choice, and as
/// long as anybody likes, so that too much of it is cut as [`nskit::error::shortened`] does.
pub(crate) fn in_one_line(message: &str) -> Cow<'_, str> {
    let message = shortened(message);
    if !message.chars().any(char::is_control) {
        return message;
    }
    let mut line = String::with_capacity(message.len() + 16);
    for c in message.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line.into()
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let (level, message) = (name(record.level()), record.args().to_string());
        let message = shortened(&message);
        let time = humantime::format_rfc3339_seconds(SystemTime::now());
        let line = match self.format {
            Format::Json => {
                format!("{}\n", serde_json::json!({"level": level, "msg": message, "time": time.to_string()}))
            }
            Format::Text if self.file.is_some() => format!("time=\"{time}\" level={level} msg={message:?}\n"),
            Format::Text if record.level() == Level::Error => format!("nskit: {}\n", in_one_line(&message)),
            Format::Text => format!("nskit: {level}: {}\n", in_one_line(&message)),
        };
        // One write a line: several processes may share the file.
        let _ = match &self.file {
            Some(file) => (&*file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }

    fn flush(&self) {}
}
