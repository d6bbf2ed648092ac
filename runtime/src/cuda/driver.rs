//! NVIDIA's driver and run-time compiler, found when they are first needed.
//!
//! In: text, bytes, addresses on the device. Out: the same as safe types, and the driver's complaints as [`Error`]s. Nothing of
//! CUDA is linked: without the libraries all else works. Must not know: executables, steps.
//!
//! Signatures are those of the CUDA Driver API and NVRTC references, from CUDA 11.8 on.

#![allow(unsafe_code, reason = "libraries are loaded and called that have C interfaces")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::sync::{Arc, OnceLock};

use frit_ir::Error;

type Status = c_int;
type Pointer = *mut c_void;

#[cfg(unix)]
mod library {
    use std::ffi::{CStr, c_char, c_int, c_void};

    unsafe extern "C" {
        fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    }

    const RTLD_NOW: c_int = 2;

    /// The first of some libraries that is there.
    pub(super) fn open(names: &[&CStr]) -> Option<*mut c_void> {
        // SAFETY: the names end in zero. The libraries are NVIDIA's own, which may be initialised at any time.
        names.iter().map(|name| unsafe { dlopen(name.as_ptr(), RTLD_NOW) }).find(|library| !library.is_null())
    }

    /// Where a function of a library is.
    pub(super) fn find(library: *mut c_void, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: the library was opened and is never closed; the name ends in zero.
        Some(unsafe { dlsym(library, name.as_ptr()) }).filter(|symbol| !symbol.is_null())
    }
}

#[cfg(not(unix))]
mod library {
    use std::ffi::{CStr, c_void};

    /// Libraries are only looked for where there is `dlopen`.
    pub(super) fn open(_: &[&CStr]) -> Option<*mut c_void> {
        None
    }

    /// As [`open`].
    pub(super) fn find(_: *mut c_void, _: &CStr) -> Option<*mut c_void> {
        None
    }
}

/// A library's functions, by the names that it exports.
macro_rules! functions {
    ($(#[$meta:meta])* $table:ident { $($name:ident = $symbol:literal ($($argument:ty),*);)* }) => {
        $(#[$meta])*
        struct $table { $($name: unsafe extern "C" fn($($argument),*) -> Status,)* }

        impl $table {
            fn load(names: &[&CStr], what: &str) -> Result<Self, Error> {
                let missing = |why: String| Error::unsupported(format!("no CUDA device can be used: {why}")).help("install NVIDIA's driver and the CUDA toolkit's NVRTC library, or use --device cpu");
                let library = library::open(names).ok_or_else(|| missing(format!("{what} is not found")))?;
                $(
                    let symbol = library::find(library, $symbol).ok_or_else(|| missing(format!("{what} is too old: it has no {}", $symbol.to_string_lossy())))?;
                    // SAFETY: the library exports this name with this signature.
                    let $name = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($argument),*) -> Status>(symbol) };
                )*
                Ok(Self { $($name),* })
            }
        }
    };
}

functions! {
    /// The driver.
    Driver {
        init = c"cuInit" (c_uint);
        device = c"cuDeviceGet" (*mut c_int, c_int);
        device_name = c"cuDeviceGetName" (*mut c_char, c_int, c_int);
        attribute = c"cuDeviceGetAttribute" (*mut c_int, c_int, c_int);
        retain = c"cuDevicePrimaryCtxRetain" (*mut Pointer, c_int);
        set_current = c"cuCtxSetCurrent" (Pointer);
        error_name = c"cuGetErrorName" (Status, *mut *const c_char);
        error_text = c"cuGetErrorString" (Status, *mut *const c_char);
        load = c"cuModuleLoadData" (*mut Pointer, *const c_void);
        unload = c"cuModuleUnload" (Pointer);
        function = c"cuModuleGetFunction" (*mut Pointer, Pointer, *const c_char);
        allocate = c"cuMemAlloc_v2" (*mut u64, usize);
        free = c"cuMemFree_v2" (u64);
        upload = c"cuMemcpyHtoDAsync_v2" (u64, *const c_void, usize, Pointer);
        download = c"cuMemcpyDtoHAsync_v2" (*mut c_void, u64, usize, Pointer);
        copy = c"cuMemcpyDtoDAsync_v2" (u64, u64, usize, Pointer);
        set_words = c"cuMemsetD32Async" (u64, c_uint, usize, Pointer);
        stream_create = c"cuStreamCreate" (*mut Pointer, c_uint);
        stream_destroy = c"cuStreamDestroy_v2" (Pointer);
        stream_wait = c"cuStreamSynchronize" (Pointer);
        capture_begin = c"cuStreamBeginCapture_v2" (Pointer, c_int);
        capture_end = c"cuStreamEndCapture" (Pointer, *mut Pointer);
        graph_ready = c"cuGraphInstantiateWithFlags" (*mut Pointer, Pointer, u64);
        graph_launch = c"cuGraphLaunch" (Pointer, Pointer);
        graph_destroy = c"cuGraphDestroy" (Pointer);
        ready_destroy = c"cuGraphExecDestroy" (Pointer);
        launch = c"cuLaunchKernel" (Pointer, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Pointer, *mut Pointer, *mut Pointer);
        event_create = c"cuEventCreate" (*mut Pointer, c_uint);
        event_destroy = c"cuEventDestroy_v2" (Pointer);
        event_record = c"cuEventRecord" (Pointer, Pointer);
        event_elapsed = c"cuEventElapsedTime" (*mut f32, Pointer, Pointer);
    }
}

functions! {
    /// The compiler.
    Compiler {
        create = c"nvrtcCreateProgram" (*mut Pointer, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char);
        destroy = c"nvrtcDestroyProgram" (*mut Pointer);
        compile = c"nvrtcCompileProgram" (Pointer, c_int, *const *const c_char);
        log_size = c"nvrtcGetProgramLogSize" (Pointer, *mut usize);
        log = c"nvrtcGetProgramLog" (Pointer, *mut c_char);
        code_size = c"nvrtcGetCUBINSize" (Pointer, *mut usize);
        code = c"nvrtcGetCUBIN" (Pointer, *mut c_char);
    }
}

fn driver() -> Result<&'static Driver, Error> {
    static DRIVER: OnceLock<Result<Driver, Error>> = OnceLock::new();
    DRIVER.get_or_init(|| Driver::load(&[c"libcuda.so.1", c"libcuda.so"], "NVIDIA's driver (libcuda.so.1)")).as_ref().map_err(Error::clone)
}

fn compiler() -> Result<&'static Compiler, Error> {
    static COMPILER: OnceLock<Result<Compiler, Error>> = OnceLock::new();
    COMPILER.get_or_init(|| Compiler::load(&[c"libnvrtc.so", c"libnvrtc.so.13", c"libnvrtc.so.12", c"libnvrtc.so.11.2"], "CUDA's run-time compiler (libnvrtc.so)")).as_ref().map_err(Error::clone)
}

fn done(driver: &Driver, what: &str, status: Status) -> Result<(), Error> {
    const OUT_OF_MEMORY: Status = 2;
    if status == 0 {
        return Ok(());
    }
    let word = |find: unsafe extern "C" fn(Status, *mut *const c_char) -> Status| {
        let mut text = std::ptr::null();
        // SAFETY: the driver gives a text that it keeps forever, or null for statuses that it does not know.
        unsafe { find(status, &raw mut text) };
        // SAFETY: as above.
        if text.is_null() { format!("status {status}") } else { unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned() }
    };
    let error = Error::unsupported(format!("the CUDA device failed to {what}: {} ({})", word(driver.error_text), word(driver.error_name)));
    Err(if status == OUT_OF_MEMORY { error.help("the device's memory is used up; run fewer programs at a time, or a smaller one") } else { error })
}

/// The first device and its context.
pub(crate) struct Device {
    driver: &'static Driver,
    context: Pointer,
    name: String,
    /// Major and minor number of what it can do.
    capability: (c_int, c_int),
}

// SAFETY: the context is the device's primary one, which is never released here; the driver's functions may be called from
// any thread in which it is current, and `current` makes it so.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// The first device.
    ///
    /// # Errors
    /// Unsupported where driver, compiler or device are missing.
    pub(crate) fn first() -> Result<&'static Self, Error> {
        static DEVICE: OnceLock<Result<Device, Error>> = OnceLock::new();
        DEVICE.get_or_init(Self::open).as_ref().map_err(Error::clone)
    }

    fn open() -> Result<Self, Error> {
        const MAJOR: c_int = 75;
        const MINOR: c_int = 76;
        compiler()?;
        let driver = driver()?;
        let none = |error: Error| error.help("see whether `nvidia-smi` lists a device, or use --device cpu");
        let (mut device, mut context, mut name) = (0, std::ptr::null_mut(), [0 as c_char; 128]);
        let mut capability = (0, 0);
        // SAFETY: each function gets pointers to variables of the types that it writes, and the name's true length.
        unsafe {
            done(driver, "start", (driver.init)(0)).map_err(none)?;
            done(driver, "be found", (driver.device)(&raw mut device, 0)).map_err(none)?;
            done(driver, "tell its name", (driver.device_name)(name.as_mut_ptr(), name.len() as c_int - 1, device))?;
            done(driver, "tell what it can do", (driver.attribute)(&raw mut capability.0, MAJOR, device))?;
            done(driver, "tell what it can do", (driver.attribute)(&raw mut capability.1, MINOR, device))?;
            done(driver, "make a context", (driver.retain)(&raw mut context, device))?;
        }
        // SAFETY: the driver wrote a text that ends in zero, at latest in the last byte, which it was not told of.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        Ok(Self { driver, context, name, capability })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn done(&self, what: &str, status: Status) -> Result<(), Error> {
        done(self.driver, what, status)
    }

    /// Makes the context the calling thread's.
    fn current(&self) -> Result<(), Error> {
        // SAFETY: the context is never released.
        self.done("be used", unsafe { (self.driver.set_current)(self.context) })
    }

    /// Compiles text to machine code of this device: nothing is contracted that is not written so, and numbers are those of
    /// IEEE 754.
    ///
    /// # Errors
    /// A bug, with the compiler's first words, where the text is wrong.
    pub(crate) fn compile(&self, text: &str) -> Result<Vec<u8>, Error> {
        let compiler = compiler()?;
        let text = CString::new(text).map_err(|_| Error::invalid("the text of a kernel holds a zero"))?;
        let options = [format!("--gpu-architecture=sm_{}{}", self.capability.0, self.capability.1), "--fmad=false".to_owned(), "--std=c++14".to_owned(), "--disable-warnings".to_owned()];
        let options: Vec<CString> = options.into_iter().filter_map(|option| CString::new(option).ok()).collect();
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program = std::ptr::null_mut();
        let failed = |status: Status| Error::bug(format!("CUDA's run-time compiler fails with status {status}"));
        let checked = |status: Status| if status == 0 { Ok(()) } else { Err(failed(status)) };
        // SAFETY: all texts end in zero and outlive the calls; there are as many options as is said. What the compiler writes
        // goes to buffers of the sizes that it asked for.
        unsafe {
            checked((compiler.create)(&raw mut program, text.as_ptr(), c"kernels.cu".as_ptr(), 0, std::ptr::null(), std::ptr::null()))?;
            let status = (compiler.compile)(program, pointers.len() as c_int, pointers.as_ptr());
            let mut size = 0;
            let result = if status == 0 {
                checked((compiler.code_size)(program, &raw mut size)).and_then(|()| {
                    let mut code = vec![0u8; size];
                    checked((compiler.code)(program, code.as_mut_ptr().cast()))?;
                    Ok(code)
                })
            } else {
                checked((compiler.log_size)(program, &raw mut size)).and_then(|()| {
                    let mut log = vec![0u8; size];
                    checked((compiler.log)(program, log.as_mut_ptr().cast()))?;
                    let log = String::from_utf8_lossy(&log).trim_end_matches('\0').lines().take(8).collect::<Vec<_>>().join("\n");
                    Err(Error::bug(format!("CUDA's run-time compiler refuses kernels: {log}")))
                })
            };
            (compiler.destroy)(&raw mut program);
            result
        }
    }

    /// Memory of the device, whose bytes are what they happen to be.
    pub(crate) fn allocate(&'static self, bytes: usize) -> Result<Buffer, Error> {
        self.current()?;
        let mut address = 0;
        if bytes > 0 {
            // SAFETY: the address is written to a variable of its type.
            self.done("give memory", unsafe { (self.driver.allocate)(&raw mut address, bytes) })?;
        }
        Ok(Buffer { device: self, address, bytes })
    }

    /// Loads machine code.
    pub(crate) fn load(&'static self, code: &[u8]) -> Result<Arc<Module>, Error> {
        self.current()?;
        let mut module = std::ptr::null_mut();
        // SAFETY: `code` is what the compiler made for this device; it says its own length.
        self.done("load kernels", unsafe { (self.driver.load)(&raw mut module, code.as_ptr().cast()) })?;
        Ok(Arc::new(Module { device: self, module }))
    }

    /// A line of work that is done in order.
    pub(crate) fn stream(&'static self) -> Result<Stream, Error> {
        const NON_BLOCKING: c_uint = 1;
        self.current()?;
        let mut stream = std::ptr::null_mut();
        // SAFETY: the stream is written to a variable of its type.
        self.done("make a stream", unsafe { (self.driver.stream_create)(&raw mut stream, NON_BLOCKING) })?;
        Ok(Stream { device: self, stream })
    }

    /// A point in a stream whose time is taken.
    pub(crate) fn event(&'static self) -> Result<Event, Error> {
        self.current()?;
        let mut event = std::ptr::null_mut();
        // SAFETY: the event is written to a variable of its type.
        self.done("make an event", unsafe { (self.driver.event_create)(&raw mut event, 0) })?;
        Ok(Event { device: self, event })
    }
}

/// Memory of the device.
pub(crate) struct Buffer {
    device: &'static Device,
    address: u64,
    bytes: usize,
}

impl Buffer {
    /// Its first byte's address on the device.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Is there room for so many bytes from a position on?
    pub(crate) fn holds(&self, at: usize, bytes: usize) -> bool {
        at.checked_add(bytes).is_some_and(|end| end <= self.bytes)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.address != 0 && self.device.current().is_ok() {
            // SAFETY: it was allocated here and is freed once; the driver waits for work that still uses it.
            unsafe { (self.device.driver.free)(self.address) };
        }
    }
}

/// Loaded kernels.
pub(crate) struct Module {
    device: &'static Device,
    module: Pointer,
}

// SAFETY: modules belong to the context, not to a thread.
unsafe impl Send for Module {}
// SAFETY: as above; nothing of a module changes after it was loaded.
unsafe impl Sync for Module {}

impl Module {
    /// A kernel by its name.
    pub(crate) fn function(self: &Arc<Self>, name: &str) -> Result<Function, Error> {
        self.device.current()?;
        let c_name = CString::new(name).map_err(|_| Error::invalid("the name of a kernel holds a zero"))?;
        let mut function = std::ptr::null_mut();
        // SAFETY: the name ends in zero and the function is written to a variable of its type.
        self.device.done(&format!("find the kernel '{name}'"), unsafe { (self.device.driver.function)(&raw mut function, self.module, c_name.as_ptr()) })?;
        Ok(Function { function, _module: Arc::clone(self) })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.device.current().is_ok() {
            // SAFETY: it was loaded here and is unloaded once, after its functions were dropped.
            unsafe { (self.device.driver.unload)(self.module) };
        }
    }
}

/// A kernel.
pub(crate) struct Function {
    function: Pointer,
    _module: Arc<Module>,
}

// SAFETY: as for modules.
unsafe impl Send for Function {}
// SAFETY: as for modules.
unsafe impl Sync for Function {}

/// A line of work.
pub(crate) struct Stream {
    device: &'static Device,
    stream: Pointer,
}

// SAFETY: streams belong to the context, not to a thread; each is used by one call at a time.
unsafe impl Send for Stream {}

impl Stream {
    /// Enqueues a copy to the device.
    pub(crate) fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.device.current()?;
        // SAFETY: the caller's addresses are those of buffers with room for the bytes. From memory that is not pinned the driver copies before it
        // returns.
        self.device.done("take bytes", unsafe { (self.device.driver.upload)(to, bytes.as_ptr().cast(), bytes.len(), self.stream) })
    }

    /// Copies from the device, after all that was enqueued before.
    pub(crate) fn download(&self, bytes: &mut [u8], from: u64) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.device.current()?;
        // SAFETY: as `upload`; the bytes are borrowed until the stream has been waited for.
        self.device.done("give bytes", unsafe { (self.device.driver.download)(bytes.as_mut_ptr().cast(), from, bytes.len(), self.stream) })?;
        self.wait()
    }

    /// Enqueues a copy on the device.
    pub(crate) fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        self.device.current()?;
        // SAFETY: the caller's addresses are those of buffers with room for the bytes.
        self.device.done("copy", unsafe { (self.device.driver.copy)(to, from, bytes, self.stream) })
    }

    /// Enqueues the writing of an integer of 64 bits.
    pub(crate) fn set(&self, to: u64, value: i64) -> Result<(), Error> {
        self.device.current()?;
        for (at, word) in [value as u32, (value >> 32) as u32].into_iter().enumerate() {
            // SAFETY: the caller's address is that of a buffer with room for eight bytes, at a multiple of four.
            self.device.done("set a number", unsafe { (self.device.driver.set_words)(to + 4 * at as u64, word, 1, self.stream) })?;
        }
        Ok(())
    }

    /// Enqueues a kernel.
    pub(crate) fn launch(&self, function: &Function, blocks: u32, threads: u32, parameters: &[u64]) -> Result<(), Error> {
        self.device.current()?;
        let mut pointers: Vec<Pointer> = parameters.iter().map(|parameter| std::ptr::from_ref(parameter).cast_mut().cast()).collect();
        // SAFETY: the kernel takes as many pointers as there are parameters, which `check` saw. Each is the address of an
        // operand with at least the bytes that the kernel touches; the driver copies them before it returns.
        let status = unsafe { (self.device.driver.launch)(function.function, blocks, 1, 1, threads, 1, 1, 0, self.stream, pointers.as_mut_ptr(), std::ptr::null_mut()) };
        self.device.done("launch a kernel", status)
    }

    /// Waits until all is done.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        self.device.current()?;
        // SAFETY: the stream is alive.
        self.device.done("run", unsafe { (self.device.driver.stream_wait)(self.stream) })
    }

    /// Notes the time at which all that was enqueued is done.
    pub(crate) fn record(&self, event: &Event) -> Result<(), Error> {
        self.device.current()?;
        // SAFETY: stream and event are alive and of one context.
        self.device.done("take the time", unsafe { (self.device.driver.event_record)(event.event, self.stream) })
    }

    /// What `work` enqueues, to be run any number of times; it is not run now.
    pub(crate) fn captured(&self, work: impl FnOnce() -> Result<(), Error>) -> Result<Graph, Error> {
        const THREAD_LOCAL: c_int = 1;
        self.device.current()?;
        let driver = self.device.driver;
        // SAFETY: the stream is alive.
        self.device.done("begin a graph", unsafe { (driver.capture_begin)(self.stream, THREAD_LOCAL) })?;
        let worked = work();
        let (mut graph, mut ready) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the capture began above; the graph is written to a variable of its type.
        let ended = self.device.done("end a graph", unsafe { (driver.capture_end)(self.stream, &raw mut graph) });
        worked?;
        ended?;
        // SAFETY: the graph was made above, and is no longer needed after this.
        let status = unsafe { (driver.graph_ready)(&raw mut ready, graph, 0) };
        // SAFETY: as above.
        unsafe { (driver.graph_destroy)(graph) };
        self.device.done("make a graph ready", status)?;
        Ok(Graph { device: self.device, ready })
    }

    /// Enqueues a graph.
    pub(crate) fn run(&self, graph: &Graph) -> Result<(), Error> {
        self.device.current()?;
        // SAFETY: graph and stream are alive; the buffers and kernels that the graph names live as long as it, in the same call's memory and
        // program.
        self.device.done("launch a graph", unsafe { (self.device.driver.graph_launch)(graph.ready, self.stream) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.device.current().is_ok() {
            // SAFETY: it was made here and is destroyed once; the driver finishes what it holds.
            unsafe { (self.device.driver.stream_destroy)(self.stream) };
        }
    }
}

/// Enqueued work that can be repeated.
pub(crate) struct Graph {
    device: &'static Device,
    ready: Pointer,
}

// SAFETY: graphs belong to the context, not to a thread; each is used by one call at a time.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.device.current().is_ok() {
            // SAFETY: it was made here and is destroyed once.
            unsafe { (self.device.driver.ready_destroy)(self.ready) };
        }
    }
}

/// A point in a stream.
pub(crate) struct Event {
    device: &'static Device,
    event: Pointer,
}

impl Event {
    /// Nanoseconds since another event. Both must have been recorded, and the stream waited for.
    pub(crate) fn since(&self, start: &Event) -> Result<u64, Error> {
        let mut ms = 0f32;
        self.device.current()?;
        // SAFETY: both events are alive; the time is written to a variable of its type.
        self.device.done("tell the time", unsafe { (self.device.driver.event_elapsed)(&raw mut ms, start.event, self.event) })?;
        Ok((f64::from(ms) * 1e6) as u64)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.device.current().is_ok() {
            // SAFETY: it was made here and is destroyed once.
            unsafe { (self.device.driver.event_destroy)(self.event) };
        }
    }
}
