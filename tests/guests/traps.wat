;; Runs into an instruction that cannot be run.
(func (export "samara:inference/model@0.1.0#infer")
  (param $inputs i32) (param $count i32) (param $outputs i32) (param $wanted i32) (result i32)
  (unreachable))
