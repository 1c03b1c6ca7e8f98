use std::sync::mpsc;
use std::sync::{Barrier, Mutex};

use bytes::Bytes;
use samara_protocol::Datatype;

use super::*;

/// A backend that does what a test says, in every context.
struct Scripted<F>(F);

struct ScriptedContext<F>(F);

impl<F: Fn(Vec<Tensor>) -> Result<Vec<Tensor>, ComputeError> + Clone + Send + Sync + 'static> Backend for Scripted<F> {
    fn context(&self) -> Result<Box<dyn Context>, ComputeError> {
        Ok(Box::new(ScriptedContext(self.0.clone())))
    }
}

impl<F: Fn(Vec<Tensor>) -> Result<Vec<Tensor>, ComputeError> + Send> Context for ScriptedContext<F> {
    fn run(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, ComputeError> {
        (self.0)(inputs)
    }
}

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec() }
}

fn graph(
    contexts: usize,
    run: impl Fn(Vec<Tensor>) -> Result<Vec<Tensor>, ComputeError> + Clone + Send + Sync + 'static,
) -> Graph {
    let info = GraphInfo {
        name: "g".to_owned(),
        path: PathBuf::new(),
        sha256: String::new(),
        bytes: 0,
        backend: BackendKind::Tract,
        version: "1".to_owned(),
        device: Device::Cpu,
        device_asked: Device::Auto,
        fell_back: None,
        contexts,
        threads: 1,
        optimization: Optimization::All,
        load_time: Duration::ZERO,
        inputs: vec![spec("a", Datatype::Uint8, &[-1, 2]), spec("b", Datatype::Bool, &[1])],
        outputs: vec![spec("y", Datatype::Uint8, &[-1, 2])],
    };
    Graph::new(info, Core::new(Box::new(Scripted(run)), contexts, Arc::new(1.into())))
}

fn first(inputs: Vec<Tensor>) -> Result<Vec<Tensor>, ComputeError> {
    Ok(inputs.into_iter().take(1).collect())
}

fn tensor(datatype: Datatype, shape: &[u64], data: &[u8]) -> Tensor {
    Tensor { datatype, shape: shape.to_vec(), data: Bytes::copy_from_slice(data) }
}

fn a() -> (String, Tensor) {
    ("a".to_owned(), tensor(Datatype::Uint8, &[1, 2], &[3, 4]))
}

fn b() -> (String, Tensor) {
    ("b".to_owned(), tensor(Datatype::Bool, &[1], &[1]))
}

#[test]
fn inputs_come_to_the_backend_in_the_graphs_order() {
    let graph = graph(1, first);
    let outputs = graph.compute(vec![b(), a()], None).unwrap();
    assert_eq!(outputs, [("y".to_owned(), a().1)]);
    let Statistics { requests, failures, loads, .. } = graph.statistics();
    assert_eq!((requests, failures, loads), (1, 0, 1));
}

#[test]
fn what_does_not_fit_never_reaches_the_backend() {
    let graph = graph(1, |_| panic!("the backend was asked"));
    let renamed = |name: &str, tensor: Tensor| (name.to_owned(), tensor);
    let cases = [
        (vec![a(), b(), renamed("c", b().1)], "unknown input \"c\", the graph takes a, b"),
        (vec![a()], "input \"b\" is missing, expected BOOL [1]"),
        (vec![a(), b(), a()], "input \"a\" is given twice"),
        (vec![renamed("a", tensor(Datatype::Int8, &[1, 2], &[3, 4])), b()], "input \"a\": expected UINT8, got INT8"),
        (
            vec![renamed("a", tensor(Datatype::Uint8, &[2], &[3, 4])), b()],
            "input \"a\": expected the shape [-1, 2], got [2] (-1 is any size)",
        ),
        (
            vec![renamed("a", tensor(Datatype::Uint8, &[1, 3], &[3, 4, 5])), b()],
            "input \"a\": expected the shape [-1, 2], got [1, 3] (-1 is any size)",
        ),
        (
            vec![renamed("a", tensor(Datatype::Uint8, &[2, 2], &[3, 4])), b()],
            "input \"a\": expected 4 bytes of data, got 2",
        ),
        (
            vec![renamed("a", tensor(Datatype::Uint8, &[u64::MAX, 2], &[3, 4])), b()],
            "input \"a\": the shape [18446744073709551615, 2] has a dimension that is too large",
        ),
        (
            vec![renamed("a", tensor(Datatype::Uint8, &[1; 1000], &[3])), b()],
            "input \"a\": expected the shape [-1, 2], got one of 1000 dimensions",
        ),
        (vec![a(), renamed("b", tensor(Datatype::Bool, &[1], &[2]))], "input \"b\": BOOL element 0 is neither 0 nor 1"),
    ];
    let count = cases.len() as u64;
    for (inputs, expected) in cases {
        assert_eq!(graph.compute(inputs, None), Err(ComputeError::InvalidArgument(expected.to_owned())));
    }
    let Statistics { requests, failures, compute_ns, .. } = graph.statistics();
    assert_eq!((requests, failures, compute_ns), (count, count, 0));
}

#[test]
fn as_many_compute_at_once_as_there_are_contexts() {
    // None of the four gets past the barrier before all four are computing: a lock around it would never end.
    let barrier = Arc::new(Barrier::new(4));
    let graph = graph(4, move |inputs| {
        barrier.wait();
        first(inputs)
    });
    let (sender, receiver) = mpsc::channel();
    let graph = Arc::new(graph);
    for _ in 0..4 {
        let (graph, sender) = (Arc::clone(&graph), sender.clone());
        std::thread::spawn(move || sender.send(graph.compute(vec![a(), b()], None)));
    }
    for _ in 0..4 {
        let outputs = receiver.recv_timeout(Duration::from_secs(60)).expect("the four did not compute at once");
        assert_eq!(outputs.unwrap().len(), 1);
    }
}

#[test]
fn when_all_contexts_are_busy_the_deadline_ends_the_wait() {
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let graph = graph(1, move |inputs| {
        begin.send(()).unwrap();
        released.lock().unwrap().recv().unwrap();
        first(inputs)
    });
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| graph.compute(vec![a(), b()], None));
        begun.recv().unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        let late = graph.compute(vec![a(), b()], Some(soon));
        assert_eq!(late, Err(ComputeError::Timeout { graph: "g".to_owned(), contexts: 1 }));
        assert!(Instant::now() >= soon);
        release.send(()).unwrap();
        assert!(busy.join().unwrap().is_ok());
    });
}

#[test]
fn a_panic_of_the_backend_is_an_error_and_costs_its_context() {
    let runs = Arc::new(AtomicU64::new(0));
    let graph = graph(1, move |inputs| {
        assert!(runs.fetch_add(1, Ordering::SeqCst) > 0, "the first run goes wrong");
        first(inputs)
    });
    match graph.compute(vec![a(), b()], None) {
        Err(ComputeError::Failed(message)) => assert!(message.contains("the first run goes wrong"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert!(graph.compute(vec![a(), b()], Some(Instant::now())).is_ok());
}

#[test]
fn outputs_that_the_graph_does_not_declare_are_a_failure() {
    let none = graph(1, |_| Ok(Vec::new()));
    assert!(matches!(none.compute(vec![a(), b()], None), Err(ComputeError::Failed(_))));
    let wrong = graph(1, |_| Ok(vec![tensor(Datatype::Int8, &[1, 2], &[0, 0])]));
    assert!(matches!(wrong.compute(vec![a(), b()], None), Err(ComputeError::Failed(_))));
}
