//! Whether an array is flat, or nested like a shape.

use crate::request::shape::Shape;

/// Follows the brackets of an array.
pub(super) struct Nesting<'a> {
    shape: &'a [u64],
    /// The elements that the shape asks for.
    expected: u64,
    /// The elements so far.
    elements: u64,
    /// The items so far of each list that is open, outermost first.
    open: Vec<u64>,
    /// How many lists are around the elements, once there is an element: one, or as many as dimensions.
    around: Option<usize>,
}

impl<'a> Nesting<'a> {
    pub(super) fn new(shape: &'a [u64], expected: u64) -> Self {
        Self { shape, expected, elements: 0, open: Vec::with_capacity(shape.len().max(1)), around: None }
    }

    pub(super) fn open(&mut self) -> Result<(), String> {
        if self.open.len() >= self.shape.len().max(1) {
            return Err(format!("`data` is nested too deep, {}", self.layout()));
        }
        if self.around == Some(self.open.len()) {
            return Err(self.ragged());
        }
        if let Some(items) = self.open.last_mut() {
            *items += 1;
        }
        self.open.push(0);
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<(), String> {
        let Some(items) = self.open.pop() else {
            return Ok(());
        };
        let depth = self.open.len();
        // A flat array, or an empty one, is as long as the product of the dimensions says, not the first.
        let outermost = depth == 0 && (self.around == Some(1) || items == 0);
        match self.shape.get(depth) {
            Some(&size) if size != items && !outermost => Err(format!(
                "`data` is ragged or not of the shape: a list at depth {} has {items} items where \
                 shape {} asks for {size}",
                depth + 1,
                Shape(self.shape)
            )),
            _ => Ok(()),
        }
    }

    /// Counts an element, and gives its index.
    pub(super) fn element(&mut self) -> Result<u64, String> {
        let depth = self.open.len();
        match self.around {
            Some(around) if around == depth => {}
            Some(_) => return Err(self.ragged()),
            None if depth == 1 || depth == self.shape.len() => self.around = Some(depth),
            None => {
                return Err(format!("`data` is not an array of elements, {}", self.layout()));
            }
        }
        if let Some(items) = self.open.last_mut() {
            *items += 1;
        }
        let index = self.elements;
        if index == self.expected {
            return Err(format!(
                "`data` has more elements than the {} that shape {} asks for",
                self.expected,
                Shape(self.shape)
            ));
        }
        self.elements += 1;
        Ok(index)
    }

    pub(super) fn finish(self) -> Result<(), String> {
        if self.elements == self.expected {
            return Ok(());
        }
        Err(format!("`data` has {} elements, shape {} asks for {}", self.elements, Shape(self.shape), self.expected))
    }

    fn ragged(&self) -> String {
        format!("`data` is ragged, {}", self.layout())
    }

    fn layout(&self) -> String {
        format!("expected a flat array, or one nested like shape {}", Shape(self.shape))
    }
}
