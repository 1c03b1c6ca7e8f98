use super::*;

#[test]
fn an_input_shape_is_read() {
    let shape: InputShape = "x=N,3,48,320".parse().expect("valid");
    assert_eq!(shape.name, "x");
    assert_eq!(
        shape.dimensions,
        [Dimension::Symbolic("N".into()), Dimension::Fixed(3), Dimension::Fixed(48), Dimension::Fixed(320)]
    );
    let scalar: InputShape = "a=b=".parse().expect("valid");
    assert_eq!((scalar.name.as_str(), scalar.dimensions.len()), ("a=b", 0));
}

#[test]
fn what_is_no_input_shape_is_refused() {
    for text in ["x", "=1,2", "x=1,,2", "x=-1", "x=0", "x=1.5", "x=1 2", "x=99999999999999999999"] {
        assert!(text.parse::<InputShape>().is_err(), "{text}");
    }
}

#[test]
fn a_size_of_the_model_stays() {
    let [two, any] = [Dimension::Fixed(2), Dimension::Symbolic("N".into())];
    for dimension in [&two, &any] {
        assert_eq!(dimension.check(0, None), Ok(()));
    }
    assert_eq!(two.check(0, Some(2)), Ok(()));
    assert_eq!(two.check(1, Some(3)).expect_err("another size"), "dimension 1 is 3 in the model, not 2");
    let error = any.check(1, Some(3)).expect_err("a fixed size");
    assert!(error.contains("dimension 1 is 3 in the model") && error.contains("N"), "{error}");
}

#[test]
fn dynamic_dimensions_are_blamed_by_input_and_position() {
    let error = blame_dimensions(vec![("x".into(), vec![-1, 3, 48, -1])], "cause".into());
    let text = error.to_string();
    assert!(text.contains("dimension 0 of \"x\" and dimension 3 of \"x\""), "{text}");
    assert!(text.contains("--input x=1,3,48,SIZE"), "{text}");
    assert!(matches!(blame_dimensions(Vec::new(), "cause".into()), CompileError::Graph(_)));
}
