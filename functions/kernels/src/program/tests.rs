use proptest::prelude::*;

use super::*;

const UNARY: [Unary; 10] = [
    Unary::Sigmoid,
    Unary::Silu,
    Unary::Tanh,
    Unary::Erf,
    Unary::Gelu,
    Unary::Square,
    Unary::Sqrt,
    Unary::Rsqrt,
    Unary::Recip,
    Unary::Neg,
];

const BINARY: [Binary; 6] = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Min, Binary::Max];

fn unary_plain(operation: Unary, x: f32) -> f32 {
    let one = |function: fn(F32x4) -> F32x4| function(F32x4::splat(x)).to_array()[0];
    match operation {
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Silu => x / (1.0 + (-x).exp()),
        Unary::Tanh => x.tanh(),
        Unary::Erf => one(functions::erf),
        Unary::Gelu => one(functions::gelu),
        Unary::Square => x * x,
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Recip => 1.0 / x,
        Unary::Neg => -x,
    }
}

fn binary_plain(operation: Binary, x: f32, y: f32) -> f32 {
    match operation {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div => x / y,
        Binary::Min => x.min(y),
        Binary::Max => x.max(y),
    }
}

fn near(got: f32, expected: f32) -> bool {
    got == expected || (got - expected).abs() <= 1e-5 * (1.0 + expected.abs()) || got.is_nan() && expected.is_nan()
}

fn instruction(operation: Operation, slot: usize) -> Instruction {
    Instruction { operation, slot }
}

/// What a program gives for a matrix: the sources are the matrix, a number for each column, one for each row, and one.
fn run(program: Vec<Instruction>, rows: usize, columns: usize, sources: [&[f32]; 4]) -> Vec<f32> {
    let spreads = [Spread::Full, Spread::Columns, Spread::Rows, Spread::One];
    let sources =
        std::array::from_fn::<_, 4, _>(|index| Source { from: sources[index].as_ptr(), spread: spreads[index] });
    let used = program.iter().any(|instruction| match instruction.operation {
        Operation::Binary(_, left, right) => [left, right].iter().any(|of| matches!(of, Operand::Source(1..))),
        _ => false,
    });
    let mut to = vec![f32::NAN; rows * columns];
    let program = Program::new(program).expect("it is a program");
    // SAFETY: there are as many numbers, and as much room.
    unsafe { program.run(rows, columns, &sources[..if used { 4 } else { 1 }], to.as_mut_ptr()) };
    to
}

proptest! {
    #[test]
    fn operations_are_done_on_each_number(
        (rows, columns, numbers) in (1..5_usize, 1..600_usize).prop_flat_map(|(rows, columns)| {
            (Just(rows), Just(columns), prop::collection::vec(-3.0_f32..3.0, rows * columns))
        }),
        number in -2.0_f32..2.0,
    ) {
        let (of_columns, of_rows, one) = (&numbers[..columns], &numbers[..rows], &[number][..]);
        let sources = [&*numbers, of_columns, of_rows, one];
        let x = Operand::Source(0);
        for operation in UNARY {
            let got = run(vec![instruction(Operation::Unary(operation, x), 0)], rows, columns, sources);
            for (x, got) in numbers.iter().zip(got) {
                prop_assert!(near(got, unary_plain(operation, *x)), "{operation:?} of {x}: {got}");
            }
        }
        for operation in BINARY {
            for (source, other) in [(0, x), (1, Operand::Source(1)), (2, Operand::Source(2)), (3, Operand::Source(3)), (4, Operand::Number(number))] {
                let got = run(vec![instruction(Operation::Binary(operation, x, other), 0)], rows, columns, sources);
                for (index, (x, got)) in numbers.iter().zip(got).enumerate() {
                    let y = [*x, of_columns[index % columns], of_rows[index / columns], number, number][source];
                    prop_assert!(near(got, binary_plain(operation, *x, y)), "{operation:?} of {x} and {y}: {got}");
                }
            }
        }
        let gate = Gate { summand: 3.0, low: 0.0, high: 6.0, factor: 0.5, offset: number };
        let instructions = vec![
            instruction(Operation::Affine(x, 2.0, number), 3),
            instruction(Operation::Gate(Operand::Slot(3), gate), 1),
            instruction(Operation::Clamp(Operand::Slot(1), -0.25, 4.0), 3),
            instruction(Operation::Binary(Binary::Sub, Operand::Slot(3), x), 3),
        ];
        for (x, got) in numbers.iter().zip(run(instructions, rows, columns, sources)) {
            let inner = 2.0 * x + number;
            let gated = inner * (inner + 3.0).clamp(0.0, 6.0) * 0.5 + number;
            prop_assert!(near(got, gated.clamp(-0.25, 4.0) - x), "{got} of {x}");
        }
    }
}

#[test]
fn a_result_may_take_the_place_of_a_source() {
    let mut numbers: Vec<f32> = (0..1000_u16).map(f32::from).collect();
    let program = vec![
        instruction(Operation::Unary(Unary::Square, Operand::Source(0)), 0),
        instruction(Operation::Binary(Binary::Sub, Operand::Slot(0), Operand::Source(0)), 0),
    ];
    let program = Program::new(program).expect("it is a program");
    let to = numbers.as_mut_ptr();
    let source = Source { from: to.cast_const(), spread: Spread::Full };
    // SAFETY: there are 1000 numbers.
    unsafe { program.run(1, 1000, &[source], to) };
    assert!(numbers.iter().enumerate().all(|(index, x)| *x == (index * index) as f32 - index as f32));
}

#[test]
fn what_is_no_program_is_refused() {
    let square = |slot: usize, to: usize| instruction(Operation::Unary(Unary::Square, Operand::Slot(slot)), to);
    for instructions in [vec![], vec![square(0, 0)], vec![square(SLOTS, 0)]] {
        assert_eq!(Program::new(instructions), None);
    }
    let into_nowhere = instruction(Operation::Unary(Unary::Square, Operand::Source(0)), SLOTS);
    assert_eq!(Program::new(vec![into_nowhere]), None);
}
