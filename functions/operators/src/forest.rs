//! Ensembles of decision trees.

use std::sync::Arc;

use tract_core::internal::*;
use tract_onnx_opl::ml::tree::{Aggregate, TreeEnsemble};

/// How a feature is compared with a node's value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
}

/// A node of a tree.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    /// Goes to one of two other nodes, both further on.
    Branch { comparison: Comparison, is_true_for_nan: bool, feature: u32, value: f32, if_true: u32, if_false: u32 },
    /// Gives the votes from one to another.
    Leaf { first: u32, end: u32 },
}

/// Trees, all of whose nodes are there.
#[derive(Debug, PartialEq)]
struct Trees {
    roots: Vec<u32>,
    nodes: Vec<Node>,
    /// A class and a weight each.
    votes: Vec<(u32, f32)>,
}

/// The votes of decision trees for classes: for each row of features, a score for each class.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    trees: Arc<Trees>,
    features: usize,
    classes: usize,
    aggregate: Aggregate,
}

impl Eq for Forest {}

impl Forest {
    /// The same trees as tract has them; none if they are not trees.
    pub fn of(ensemble: &TreeEnsemble) -> TractResult<Option<Forest>> {
        let numbers = |tensor: &Tensor| TractResult::Ok(tensor.try_as_plain_ram()?.as_slice::<u32>()?.to_vec());
        let data = &ensemble.data;
        let (roots, nodes, leaves) = (numbers(&data.trees)?, numbers(&data.nodes)?, numbers(&data.leaves)?);
        let votes: Vec<_> = leaves.chunks_exact(2).map(|vote| (vote[0], f32::from_bits(vote[1]))).collect();
        let count = nodes.len() / 5;
        let nodes: Option<Vec<_>> =
            nodes.chunks_exact(5).enumerate().map(|(index, row)| node(index, row, count, votes.len())).collect();
        let features = ensemble.max_used_feature + 1;
        let Some(nodes) = nodes else { return Ok(None) };
        let whole = roots.iter().all(|root| (*root as usize) < count)
            && votes.iter().all(|(class, _)| (*class as usize) < ensemble.n_classes)
            && nodes.iter().all(|node| !matches!(node, Node::Branch { feature, .. } if *feature as usize >= features));
        let trees = Arc::new(Trees { roots, nodes, votes });
        let forest = Forest { trees, features, classes: ensemble.n_classes, aggregate: ensemble.aggregate_fn };
        Ok(whole.then_some(forest))
    }

    fn score(&self, features: &[f32], scores: &mut [f32]) {
        let mut counts = vec![0_u32; if self.aggregate == Aggregate::Avg { scores.len() } else { 0 }];
        for root in &self.trees.roots {
            for &(class, weight) in self.trees.votes_for(*root, features) {
                let score = &mut scores[class as usize];
                match self.aggregate {
                    Aggregate::Sum => *score += weight,
                    Aggregate::Avg => {
                        *score += weight;
                        counts[class as usize] += 1;
                    }
                    Aggregate::Max => *score = score.max(weight),
                    Aggregate::Min => *score = score.min(weight),
                }
            }
        }
        for (score, count) in scores.iter_mut().zip(counts).filter(|(_, count)| *count > 1) {
            *score /= count as f32;
        }
    }
}

impl Trees {
    fn votes_for(&self, root: u32, features: &[f32]) -> &[(u32, f32)] {
        let mut at = root;
        loop {
            match self.nodes[at as usize] {
                Node::Leaf { first, end } => return &self.votes[first as usize..end as usize],
                Node::Branch { comparison, is_true_for_nan, feature, value, if_true, if_false } => {
                    let feature = features[feature as usize];
                    let is_true = match comparison {
                        _ if feature.is_nan() => is_true_for_nan,
                        Comparison::Equal => feature == value,
                        Comparison::NotEqual => feature != value,
                        Comparison::Less => feature < value,
                        Comparison::Greater => feature > value,
                        Comparison::LessOrEqual => feature <= value,
                        Comparison::GreaterOrEqual => feature >= value,
                    };
                    at = if is_true { if_true } else { if_false };
                }
            }
        }
    }
}

/// A node as tract has it: five numbers. None if it leads nowhere, or back.
fn node(index: usize, row: &[u32], nodes: usize, votes: usize) -> Option<Node> {
    let comparison = match row[4] & 0xff {
        0 => {
            let (first, end) = (row[0], row[1]);
            return (first <= end && end as usize <= votes).then_some(Node::Leaf { first, end });
        }
        1 => Comparison::Equal,
        2 => Comparison::NotEqual,
        3 => Comparison::Less,
        4 => Comparison::Greater,
        5 => Comparison::LessOrEqual,
        6 => Comparison::GreaterOrEqual,
        _ => return None,
    };
    let leads = |to: u32| (index + 1..nodes).contains(&(to as usize));
    (leads(row[1]) && leads(row[2])).then_some(Node::Branch {
        comparison,
        is_true_for_nan: row[4] & 0x100 != 0,
        feature: row[0],
        value: f32::from_bits(row[3]),
        if_true: row[1],
        if_false: row[2],
    })
}

impl Op for Forest {
    fn name(&self) -> StaticName {
        "Forest".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} trees, {} nodes", self.trees.roots.len(), self.trees.nodes.len())])
    }

    op_as_typed_op!();
}

impl EvalOp for Forest {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = inputs[0].cast_to::<f32>()?;
        let [rows, features] = *input.shape() else { bail!("features are in rows, not in {:?}", input.shape()) };
        ensure!(features >= self.features, "{features} features where the trees ask for {}", self.features);
        let mut output = Tensor::zero::<f32>(&[rows, self.classes])?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let scores = plain.as_slice_mut::<f32>()?.chunks_exact_mut(self.classes.max(1));
        for (features, scores) in input.try_as_plain_ram()?.as_slice::<f32>()?.chunks_exact(features.max(1)).zip(scores)
        {
            self.score(features, scores);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Forest {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&[inputs[0].shape[0].clone(), self.classes.to_dim()])))
    }

    as_op!();
}
