use proptest::prelude::*;

use super::*;

const UNARY: [Unary; 11] = [
    Unary::Sigmoid,
    Unary::Silu,
    Unary::Tanh,
    Unary::Erf,
    Unary::Gelu,
    Unary::Square,
    Unary::Cube,
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
        Unary::Cube => x.powi(3),
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

/// The numbers of a tensor, its shape, and how it is spread.
type Given<'a> = (&'a [f32], Vec<usize>, Spread);

/// What a program gives for a result of this shape, of which it makes the rows from `split` on by themselves.
fn run(program: Vec<Instruction>, shape: &[usize], split: usize, sources: &[Given<'_>]) -> Vec<f32> {
    let columns = shape[shape.len() - 1];
    let rows = shape.iter().product::<usize>() / columns;
    let sources = sources.iter().map(|(numbers, own, spread)| Source::of(numbers, own, *spread, shape));
    let sources = sources.collect::<Option<Vec<_>>>().expect("there are as many numbers");
    let rest: Vec<_> = sources.iter().map(|source| source.skipping(split)).collect();
    let mut to = vec![f32::NAN; rows * columns];
    let program = Program::new(program).expect("it is a program");
    // SAFETY: the sources are for as many rows and columns, and there is as much room.
    unsafe {
        program.run(split, columns, &sources, to.as_mut_ptr());
        program.run(rows - split, columns, &rest, to[split * columns..].as_mut_ptr());
    }
    to
}

proptest! {
    #[test]
    fn operations_are_done_on_each_number(
        (axes, columns, split, numbers) in ([1..4_usize, 1..3_usize, 1..4_usize], 1..600_usize).prop_flat_map(|(axes, columns)| {
            let rows: usize = axes.iter().product();
            (Just(axes), Just(columns), 0..=rows, prop::collection::vec(-3.0_f32..3.0, rows * columns))
        }),
        number in -2.0_f32..2.0,
    ) {
        let [groups, times, size] = axes;
        let all = [groups, times, size, columns];
        let matrix = (&*numbers, all.to_vec(), Spread::FULL);
        let x = Operand::Source(0);
        for operation in UNARY {
            let got = run(vec![instruction(Operation::Unary(operation, x), 0)], &all, split, std::slice::from_ref(&matrix));
            for (x, got) in numbers.iter().zip(got) {
                prop_assert!(near(got, unary_plain(operation, *x)), "{operation:?} of {x}: {got}");
            }
        }
        let ways = [
            (Rows::Each, &axes[..]),
            (Rows::Groups, &[groups]),
            (Rows::Again, &[size]),
            (Rows::Around(1), &[groups, size]),
            (Rows::Between(1), &[times]),
            (Rows::One, &[]),
        ];
        for (operation, by_column) in BINARY.into_iter().flat_map(|operation| [(operation, false), (operation, true)]) {
            let program = |other| vec![instruction(Operation::Binary(operation, x, other), 0)];
            let one = run(program(Operand::Number(number)), &all, split, std::slice::from_ref(&matrix));
            for (x, got) in numbers.iter().zip(one) {
                prop_assert!(near(got, binary_plain(operation, *x, number)), "{operation:?} of {x} and {number}: {got}");
            }
            for (way, of_rows) in ways {
                let width = if by_column { columns } else { 1 };
                let count: usize = of_rows.iter().product();
                let shape = of_rows.iter().copied().chain(by_column.then_some(columns)).collect();
                let other = (&numbers[..count * width], shape, Spread { rows: way, columns: by_column });
                let sources = [matrix.clone(), other.clone()];
                let got = run(program(Operand::Source(1)), &all, split, &sources);
                for (index, (x, got)) in numbers.iter().zip(got).enumerate() {
                    let (row, column) = (index / columns, index % columns);
                    let row = match way {
                        Rows::Each => row,
                        Rows::Groups => row / (times * size),
                        Rows::Again => row % size,
                        Rows::Around(_) => row / (times * size) * size + row % size,
                        Rows::Between(_) => row / size % times,
                        Rows::One => 0,
                    };
                    let y = other.0[row * width + column % width];
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
        for (x, got) in numbers.iter().zip(run(instructions, &all, split, std::slice::from_ref(&matrix))) {
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
    let source = Source::result(to, 1000);
    // SAFETY: there are 1000 numbers.
    unsafe { program.run(1, 1000, &[source], to) };
    assert!(numbers.iter().enumerate().all(|(index, x)| *x == (index * index) as f32 - index as f32));
}

#[test]
fn numbers_that_do_not_fit_a_result_are_refused() {
    let numbers = [0.0; 64];
    let fits = |count: usize, rows, columns, [of_rows, of_columns]: [usize; 2]| {
        Source::of(&numbers[..count], &[], Spread { rows, columns }, &[of_rows, of_columns]).is_some()
    };
    for (rows, counts) in [
        (Rows::Each, &[12][..]),
        (Rows::Groups, &[1, 2, 3, 4, 6, 12]),
        (Rows::Again, &[1, 2, 3, 4, 6, 12]),
        (Rows::One, &[1]),
    ] {
        for count in 0..=64 {
            assert_eq!(fits(count, rows, false, [12, 3]), counts.contains(&count), "{count} {rows:?}");
            let whole = count % 3 == 0 && counts.contains(&(count / 3));
            assert_eq!(fits(count, rows, true, [12, 3]), whole, "{count} {rows:?}");
        }
        // Of nothing, nothing.
        assert!(fits(0, rows, true, [4, 0]), "{rows:?}");
        assert_eq!(fits(0, rows, false, [0, 4]), rows != Rows::One, "{rows:?}");
    }
    // Groups of two rows, twice each in 12, are three; of four rows they are not.
    let around = |shape: &[usize], axes, columns: usize| {
        let spread = Spread { rows: Rows::Around(axes), columns: columns > 0 };
        Source::of(&numbers[..shape.iter().product()], shape, spread, &[12, columns.max(1)]).is_some()
    };
    assert!(around(&[3, 2], 1, 0) && around(&[3, 2, 5], 1, 5) && around(&[1, 3, 2], 2, 0) && around(&[3, 4], 0, 0));
    assert!(!around(&[3, 3], 1, 0) && !around(&[5, 2], 1, 0) && !around(&[3, 8], 1, 0) && !around(&[3, 2, 4], 1, 5));
    // One of two for three rows of twelve each.
    let between = |count: usize, result: &[usize], behind| {
        let spread = Spread { rows: Rows::Between(behind), columns: false };
        Source::of(&numbers[..count], &[count], spread, result).is_some()
    };
    assert!(between(2, &[2, 2, 3, 5], 1) && between(2, &[12, 5], 0) && between(6, &[2, 2, 3, 5], 0));
    assert!(
        !between(5, &[2, 2, 3, 5], 1)
            && !between(2, &[12, 5], 2)
            && !between(0, &[12, 5], 0)
            && !between(2, &[4, 3, 5], 2)
    );
    assert!(!around(&[3, 0], 1, 0) && !around(&[6], 2, 0) && !around(&[], 1, 1));
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
