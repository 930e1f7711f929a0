//! `checkpoint`: a container's processes are saved to files, from which `restore` brings them back, here or elsewhere.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use crate::cgroup::mount_points_of;
use crate::container::criu::{self, Criu, Notification, Settings, Task, option};
use crate::container::record::folder::replace_file;
use crate::container::record::instance::Container;
use crate::container::record::life::{Status, Verb};
use crate::container::record::runtime::Runtime;
use crate::container::spec::bundle::Bundle;
use crate::container::spec::config::Config;
use crate::container::spec::properties::{annotation, namespaces};
use crate::container::spec::rootfs::{self, CgroupView};
use crate::container::steps::wait::Signals;
use crate::container::verbs::delete;
use crate::error::{Attempt, Error, Result};
use crate::mount::path;
use crate::mount::rootfs::{Rootfs, Source};
use crate::namespace::{self, Kind};
use crate::protobuf::Message;

/// The file beside the images that tells what the standard streams were: see [`State::external_descriptors`].
///
/// [`State::external_descriptors`]: crate::container::record::state::State::external_descriptors
pub(crate) const DESCRIPTORS: &str = "descriptors.json";

/// The annotation that names a container's own file of options for CRIU.
pub(crate) const CONFIG: &str = "org.criu.config";

/// What files are masked with, by the name that all these mounts have in the images.
pub(crate) const NOTHING: &str = "/dev/null";

/// Options of `checkpoint`.
#[derive(Debug, Default)]
pub struct Options {
    /// What the restore is told too.
    pub settings: Settings,
    /// The images of a dump before, seen from those of this one.
    pub parent_path: Option<PathBuf>,
    /// Save memory only, and let the container go on.
    pub pre_dump: bool,
    /// The container goes on after it was saved.
    pub leave_running: bool,
    /// What is under way in TCP connections is dropped.
    pub tcp_skip_in_flight: bool,
    /// Files without a name may be given one.
    pub link_remap: bool,
    /// The address and port of who takes the memory.
    pub page_server: Option<(String, u16)>,
    /// Gets a zero byte when memory can be fetched.
    pub status_fd: Option<OwnedFd>,
}

/// Saves the container `id`, and deletes it unless it is to go on.
///
/// # Errors
/// When it does not run, or CRIU is missing or fails: the container goes on then.
pub fn checkpoint(runtime: &Runtime, id: &str, options: Options) -> Result<()> {
    let container = Container::load(runtime, id)?;
    container.admit(Verb::Checkpoint)?;
    let file = criu::find()?;
    let settings = &options.settings;
    Criu::check(&file, options.pre_dump, settings.lazy_pages, None).attempt(|| format!("checkpoint container {id}"))?;
    // Two at once would each take what the other has stopped for how the container was.
    let _alone = container.folder.hold_checkpoint()?;
    let status = container.admit(Verb::Checkpoint)?.status;
    let folders = settings.open("dump.log", true)?;
    if let Some(parent) = &options.parent_path {
        check_parent(&settings.image_path, parent)?;
    }
    // One that asks this process to end may not end it halfway: the container would stay as it is stopped.
    let signals = Signals::hold()?;
    let bundle = Bundle { path: container.state.bundle.clone(), config: Config::kept_in(&container.folder)? };
    let mut request = request(&container, &bundle, &options, &folders)?;
    if !options.pre_dump {
        save_streams(&container, &settings.image_path)?;
    }
    let mut status_fd = options.status_fd;
    let mut heed = |notification: Notification| {
        log::debug!("criu: {}", notification.name);
        if notification.name == "status-ready"
            && let Some(fd) = status_fd.take()
        {
            rustix::io::write(fd, &[0]).attempt(|| "tell that memory can be fetched (--status-fd)")?;
        }
        Ok(())
    };
    let task = if options.pre_dump { Task::PreDump } else { Task::Dump };
    let asked = Criu::start(&file)?.ask(task, &mut request, Some(&signals), &mut heed);
    if let Err(error) = asked {
        if status != Status::Paused {
            // What CRIU has not had the time to undo.
            let _ = container.cgroup().and_then(|cgroup| cgroup.thaw());
        }
        return Err(criu::explained(error, &folders).context(format!("checkpoint container {id}")));
    }
    if options.leave_running || options.pre_dump {
        return Ok(());
    }
    delete::delete(runtime, id, true)
}

fn check_parent(images: &Path, parent: &Path) -> Result<()> {
    if parent.is_absolute() {
        return Err(Error::invalid("--parent-path must be relative, to --image-path"));
    }
    let path = images.join(parent);
    let failed = || format!("invalid --parent-path: look at {}", path.display());
    let is_folder = std::fs::metadata(&path).attempt(failed)?.is_dir();
    if is_folder { Ok(()) } else { Err(Error::os(rustix::io::Errno::NOTDIR, failed())) }
}

/// The request to save `container`.
fn request(container: &Container, bundle: &Bundle, options: &Options, folders: &criu::Folders) -> Result<Message> {
    let (state, spec) = (&container.state, &bundle.config.spec);
    let mut dump = Message::default();
    options.settings.write(&mut dump, folders, annotation(spec, CONFIG));
    dump.number(option::PID, state.init_process_pid)
        .text(option::ROOT, state.config.rootfs.as_os_str().as_bytes())
        .flag(option::LEAVE_RUNNING, options.leave_running)
        .flag(option::TCP_SKIP_IN_FLIGHT, options.tcp_skip_in_flight)
        .flag(option::LINK_REMAP, options.link_remap);
    if let Some((address, port)) = &options.page_server {
        let mut server = Message::default();
        server.text(1, address).number(2, *port);
        dump.message(option::PAGE_SERVER, &server);
    }
    if let Some(parent) = &options.parent_path {
        dump.text(option::PARENT_IMG, parent.as_os_str().as_bytes()).flag(option::TRACK_MEM, true);
    }
    if let Some(dir) = container.cgroup()?.freezer_dir() {
        dump.text(option::FREEZE_CGROUP, dir.as_os_str().as_bytes());
    }
    // Namespaces that were there before the container are not the images' to have.
    for (kind, path) in namespaces(spec) {
        if let (Some(name), Some(_)) = (criu::name_of_namespace(kind), path) {
            let file = format!("/proc/{}/ns/{}", state.init_process_pid, kind.proc_name());
            let inode = rustix::fs::stat(file.as_str()).attempt(|| format!("look at {file}"))?.st_ino;
            dump.text(option::EXTERNAL, format!("{}[{inode}]:{name}", kind.proc_name()));
        }
    }
    if !options.pre_dump {
        for (place, name) in outside_mounts(container, bundle)? {
            criu::add_mount(&mut dump, &place, &name);
        }
    }
    let mut request = Message::default();
    request.message(2, &dump);
    Ok(request)
}

/// The mounts of a container that show what is the host's: their places, by which they go in the images, and what they show.
pub(crate) fn mounts_of_host(plan: &Rootfs) -> Result<Vec<(PathBuf, PathBuf)>> {
    let root = open_folder(&plan.path)?;
    let binds = plan.mounts.iter().filter_map(|mount| match &mount.source {
        Source::Bind(source) => Some((&mount.target, source)),
        _ => None,
    });
    let devices = plan.devices.iter().filter(|_| plan.bind_devices).map(|device| (&device.path, &device.path));
    binds.chain(devices).map(|(target, source)| Ok((path::resolve(root.as_fd(), target)?, source.clone()))).collect()
}

/// The same of a container that runs, by their names in the images.
fn outside_mounts(container: &Container, bundle: &Bundle) -> Result<Vec<(PathBuf, PathBuf)>> {
    let plan = rootfs::plan(bundle, false, &CgroupView::default(), false)?;
    let mut mounts: Vec<_> = mounts_of_host(&plan)?.into_iter().map(|(place, _)| (place.clone(), place)).collect();
    let is_listed = bundle.kinds().contains(Kind::Cgroup);
    if !is_listed || namespace::is_shared_with(container.state.init_process_pid, Kind::Cgroup)? {
        // Of the host's cgroup namespace, they were bound.
        mounts.extend(mount_points_of(container.pid()?)?.into_iter().map(|point| (point.clone(), point)));
    }
    let own_root = open_folder(Path::new(&format!("/proc/{}/root", container.state.init_process_pid)))?;
    for masked in plan.masked {
        let Ok(found) = path::open(own_root.as_fd(), &masked, OFlags::PATH) else { continue };
        let stat = rustix::fs::fstat(&found).attempt(|| format!("look at {} in the container", masked.display()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            mounts.push((masked, PathBuf::from(NOTHING)));
        }
    }
    Ok(mounts)
}

fn open_folder(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| format!("open {}", path.display()))
}

/// Keeps what the standard streams were: pipes, which are nobody's in the container, come back as those of the restore.
fn save_streams(container: &Container, images: &Path) -> Result<()> {
    let names = &container.state.external_descriptors;
    let text = serde_json::to_vec(names).map_err(|error| Error::invalid(format!("write {DESCRIPTORS}: {error}")))?;
    replace_file(&images.join(DESCRIPTORS), &text, 0o600)
}
