// The few operations of a tensor library that the model needs. Sums are made in float64, as JavaScript counts, and stored in
// float32.
VLM.part("tensor", () => {
  // Numbers in rows, one row after another in `data`.
  class Matrix {
    constructor(rows, width, data = new Float32Array(rows * width)) {
      this.rows = rows
      this.width = width
      this.data = data
    }

    // Rows start..end - 1, counted from the end if negative: a view, not a copy.
    slice(start, end = this.rows) {
      const data = this.data.subarray(start * this.width, end * this.width)
      return new Matrix(data.length / this.width, this.width, data)
    }

    row(index) {
      return this.data.subarray(index * this.width, (index + 1) * this.width)
    }

    // A new matrix with f(row, index) for each row.
    mapRows(f) {
      const result = new Matrix(this.rows, this.width)
      for (let i = 0; i < this.rows; i++) result.row(i).set(f(this.row(i), i))
      return result
    }

    // A new matrix with f(number, index) for each number.
    map(f) {
      const result = new Matrix(this.rows, this.width)
      for (let i = 0; i < this.data.length; i++) result.data[i] = f(this.data[i], i)
      return result
    }
  }

  // How many multiply-adds the matrix products have made so far.
  const counted = { multiplications: 0 }

  // a [R, W] times b [C, W] transposed -> [R, C]: each row of a with each row of b.
  function matmulTransposed(a, b) {
    const result = new Matrix(a.rows, b.rows)
    counted.multiplications += a.rows * b.rows * a.width
    let row = 0
    for (; row + 4 <= a.rows; row += 4) {
      for (let column = 0; column < b.rows; column++) {
        dotFour(a.data, row * a.width, b.data, column * a.width, a.width, result.data, row * b.rows + column, b.rows)
      }
    }
    for (; row < a.rows; row++) {
      let column = 0
      for (; column + 4 <= b.rows; column += 4) {
        dotFour(b.data, column * a.width, a.data, row * a.width, a.width, result.data, row * b.rows + column, 1)
      }
      for (; column < b.rows; column++) {
        result.data[row * b.rows + column] = dot(a.data, row * a.width, b.data, column * a.width, a.width)
      }
    }
    return result
  }

  // Four rows of a with one row of b. Side by side they are faster: each number of b is read once for all four.
  function dotFour(a, atA, b, atB, width, result, atResult, step) {
    const at1 = atA + width
    const at2 = at1 + width
    const at3 = at2 + width
    let sum0 = 0
    let sum1 = 0
    let sum2 = 0
    let sum3 = 0
    for (let k = 0; k < width; k++) {
      const shared = b[atB + k]
      sum0 += a[atA + k] * shared
      sum1 += a[at1 + k] * shared
      sum2 += a[at2 + k] * shared
      sum3 += a[at3 + k] * shared
    }
    result[atResult] = sum0
    result[atResult + step] = sum1
    result[atResult + 2 * step] = sum2
    result[atResult + 3 * step] = sum3
  }

  function dot(a, atA, b, atB, width) {
    let sum = 0
    for (let k = 0; k < width; k++) sum += a[atA + k] * b[atB + k]
    return sum
  }

  // a [R, W] times b [W, C] -> [R, C].
  function matmul(a, b) {
    const result = new Matrix(a.rows, b.width)
    const sums = new Float64Array(b.width)
    counted.multiplications += a.rows * b.width * a.width
    for (let row = 0; row < a.rows; row++) {
      sums.fill(0)
      for (let k = 0; k < a.width; k++) {
        const factor = a.data[row * a.width + k]
        const atB = k * b.width
        for (let column = 0; column < b.width; column++) sums[column] += factor * b.data[atB + column]
      }
      result.data.set(sums, row * b.width)
    }
    return result
  }

  // [S, A * E] -> A x [S, E], a list of matrices
  function splitHeads(states, headDim) {
    return Array.from({ length: states.width / headDim }, (_, head) => {
      const result = new Matrix(states.rows, headDim)
      for (let i = 0; i < states.rows; i++) {
        result.row(i).set(states.row(i).subarray(head * headDim, (head + 1) * headDim))
      }
      return result
    })
  }

  // A x [S, E] -> [S, A * E]
  function joinHeads(heads) {
    const { rows, width } = heads[0]
    const result = new Matrix(rows, heads.length * width)
    heads.forEach((states, head) => {
      for (let i = 0; i < rows; i++) result.row(i).set(states.row(i), head * width)
    })
    return result
  }

  // A square image of three channels [1, 3 * H * W] -> [N, 3 * P * P], a row for each of its N patches in reading order
  function cutPatches(pixelValues, numPatches) {
    const size = Math.sqrt(pixelValues.width / 3) // H = W
    const side = Math.sqrt(numPatches)
    const patchSize = size / side
    return new Matrix(numPatches, 3 * patchSize ** 2).mapRows((row, n) => {
      const [top, left] = [Math.floor(n / side) * patchSize, (n % side) * patchSize]
      for (let line = 0; line < 3 * patchSize; line++) {
        const [channel, y] = [Math.floor(line / patchSize), top + (line % patchSize)]
        const start = (channel * size + y) * size + left
        row.set(pixelValues.data.subarray(start, start + patchSize), line * patchSize)
      }
      return row
    })
  }

  // 0, 1, ..., count - 1
  function range(count) {
    return Array.from({ length: count }, (_, i) => i)
  }

  function cumsum(numbers) {
    let sum = 0
    return Array.from(numbers, (number) => (sum += number))
  }

  function add(a, b) {
    return a.map((value, i) => value + b.data[i])
  }

  function multiply(a, b) {
    return a.map((value, i) => value * b.data[i])
  }

  function scale(a, factor) {
    return a.map((value) => value * factor)
  }

  // Makes each row positive, with sum 1. The largest is subtracted first, so that no exponential overflows.
  function softmax(scores) {
    const result = new Matrix(scores.rows, scores.width)
    for (let row = 0; row < scores.rows; row++) {
      const from = scores.row(row)
      const to = result.row(row)
      let largest = -Infinity
      for (let i = 0; i < from.length; i++) if (from[i] > largest) largest = from[i]
      let sum = 0
      for (let i = 0; i < from.length; i++) sum += to[i] = Math.exp(from[i] - largest)
      for (let i = 0; i < from.length; i++) to[i] /= sum
    }
    return result
  }

  // x times the probability that a standard normal number is below x, by the approximation that both towers were trained with.
  function geluTanh(x) {
    return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))
  }

  // A part of a model: its fields are parameters (null until they are loaded), other parts, or lists of parts.
  class Module {
    constructor(fields = {}) {
      Object.assign(this, fields)
    }

    // Yields [name, part, field] for each parameter, named as PyTorch does: "layers.0.mlp.fc1.weight".
    *namedParameters(prefix = "") {
      for (const [field, value] of Object.entries(this)) {
        const name = prefix + field
        if (value instanceof Module) yield* value.namedParameters(`${name}.`)
        else if (Array.isArray(value)) for (const [i, part] of value.entries()) yield* part.namedParameters(`${name}.${i}.`)
        else if (value === null || value instanceof Matrix || value instanceof Float32Array) yield [name, this, field]
      }
    }

    // Take over `tensors`, { name: Matrix or Float32Array }, without copying.
    loadStateDict(tensors) {
      const parameters = [...this.namedParameters()]
      const missing = parameters.filter(([name]) => !(name in tensors))
      if (missing.length) throw new Error(`The weights lack ${missing[0][0]}. Write them again: python -m live.export`)
      for (const [name, part, field] of parameters) part[field] = tensors[name]
    }
  }

  class Linear extends Module {
    weight = null // [out, in]

    constructor(bias = true) {
      super(bias ? { bias: null } : {}) // [out]
    }

    // [R, in] -> [R, out]
    forward(x) {
      const result = matmulTransposed(x, this.weight)
      if (this.bias) {
        for (let row = 0; row < result.rows; row++) {
          for (let i = 0; i < result.width; i++) result.data[row * result.width + i] += this.bias[i]
        }
      }
      return result
    }
  }

  class Embedding extends Module {
    weight = null // [V, D]

    // R ids -> [R, D], a row of the matrix for each
    forward(ids) {
      const result = new Matrix(ids.length, this.weight.width)
      ids.forEach((id, i) => result.row(i).set(this.weight.row(id)))
      return result
    }
  }

  class LayerNorm extends Module {
    weight = null // [D]
    bias = null // [D]

    // [R, D] -> [R, D]: each row minus its mean, divided by its standard deviation
    forward(x) {
      return x.mapRows((row) => {
        const mean = row.reduce((sum, value) => sum + value, 0) / row.length
        const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length
        const factor = 1 / Math.sqrt(variance + this.eps)
        return row.map((value, i) => (value - mean) * factor * this.weight[i] + this.bias[i])
      })
    }
  }

  return {
    ...{ Matrix, counted, matmulTransposed, matmul, splitHeads, joinHeads, cutPatches, cumsum, range },
    ...{ add, multiply, scale, softmax, geluTanh },
    ...{ Module, Linear, Embedding, LayerNorm },
  }
})
