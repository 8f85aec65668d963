// Reads and changes what is inside a model while it runs. The model calls tap(name, value, layer) with
//   pixel_values [1, C * H * W], image_hidden_states [N, D], image_attention A x [N, N], image_features [N, D],
//   position_ids S numbers, mask [S, T], hidden_states [S, D], attention A x [S, T], logits [S, V],
//   gates [S, F], what gate_proj gives, before the activation, and proposals [S, F], what up_proj gives
// Hidden states have number i where they enter layer i, and the last number where they leave the last layer.
VLM.part("hooks", () => {
  class Hooks {
    // record: names to keep. edit: { name: (value, layer) => the value that the model continues with }.
    constructor(record = [], edit = {}) {
      this.record = new Set(record)
      this.edit = edit
      this.recorded = {} // recorded[name][layer] is a list with one value for each pass
    }

    tap(name, value, layer = 0) {
      const kept = this.edit[name] ? this.edit[name](value, layer) : value
      if (this.record.has(name)) ((this.recorded[name] ??= [])[layer] ??= []).push(kept)
      return kept
    }
  }

  return { Hooks }
})
