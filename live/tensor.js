// The few operations of a tensor library that the model needs. Sums are float64, like all numbers of JavaScript; stored
// numbers are float32.
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

  // a [R, W] times b [C, W] transposed -> [R, C]: each row of a with each row of b. Nearly all time goes into this, and
  // most of that into reading numbers; so blocks of 4 rows and 2 columns share what was read.
  function matmulTransposed(a, b) {
    const result = new Matrix(a.rows, b.rows)
    counted.multiplications += a.rows * b.rows * a.width
    const whole = { rows: a.rows - (a.rows % 4), columns: b.rows - (b.rows % 4) }
    const at = (row, column) => row * b.rows + column
    for (let row = 0; row < whole.rows; row += 4) {
      for (let column = 0; column < whole.columns; column += 2) dotEight(a, row, b, column, result)
      for (let column = whole.columns; column < b.rows; column++) {
        dotFour(a, row, b, column, result, at(row, column), b.rows)
      }
    }
    for (let row = whole.rows; row < a.rows; row++) {
      for (let column = 0; column < whole.columns; column += 4) dotFour(b, column, a, row, result, at(row, column), 1)
      for (let column = whole.columns; column < b.rows; column++) {
        result.data[at(row, column)] = dot(a.row(row), b.row(column))
      }
    }
    return result
  }

  // Rows row..row + 3 of a with rows column..column + 1 of b.
  function dotEight(a, row, b, column, result) {
    const width = a.width
    const x = a.data
    const y = b.data
    const sums = result.data
    const x0 = row * width
    const x1 = x0 + width
    const x2 = x1 + width
    const x3 = x2 + width
    const y0 = column * width
    const y1 = y0 + width
    let sum00 = 0
    let sum01 = 0
    let sum10 = 0
    let sum11 = 0
    let sum20 = 0
    let sum21 = 0
    let sum30 = 0
    let sum31 = 0
    for (let k = 0; k < width; k++) {
      const left = y[y0 + k]
      const right = y[y1 + k]
      let value = x[x0 + k]
      sum00 += value * left
      sum01 += value * right
      value = x[x1 + k]
      sum10 += value * left
      sum11 += value * right
      value = x[x2 + k]
      sum20 += value * left
      sum21 += value * right
      value = x[x3 + k]
      sum30 += value * left
      sum31 += value * right
    }
    const at = row * b.rows + column
    sums[at] = sum00
    sums[at + 1] = sum01
    sums[at + b.rows] = sum10
    sums[at + b.rows + 1] = sum11
    sums[at + 2 * b.rows] = sum20
    sums[at + 2 * b.rows + 1] = sum21
    sums[at + 3 * b.rows] = sum30
    sums[at + 3 * b.rows + 1] = sum31
  }

  // Rows row..row + 3 of a with one row of b. The sums go into `result` from `at` on, `step` apart.
  function dotFour(a, row, b, column, result, at, step) {
    const width = a.width
    const x = a.data
    const y = b.data
    const sums = result.data
    const x0 = row * width
    const x1 = x0 + width
    const x2 = x1 + width
    const x3 = x2 + width
    const y0 = column * width
    let sum0 = 0
    let sum1 = 0
    let sum2 = 0
    let sum3 = 0
    for (let k = 0; k < width; k++) {
      const shared = y[y0 + k]
      sum0 += x[x0 + k] * shared
      sum1 += x[x1 + k] * shared
      sum2 += x[x2 + k] * shared
      sum3 += x[x3 + k] * shared
    }
    sums[at] = sum0
    sums[at + step] = sum1
    sums[at + 2 * step] = sum2
    sums[at + 3 * step] = sum3
  }

  function dot(x, y) {
    let sum = 0
    for (let k = 0; k < x.length; k++) sum += x[k] * y[k]
    return sum
  }

  // a [R, W] times b [W, C] -> [R, C]. Four rows of b at once, so that the sums are read and written once for all four.
  function matmul(a, b) {
    const result = new Matrix(a.rows, b.width)
    const sums = new Float64Array(b.width)
    counted.multiplications += a.rows * b.width * a.width
    for (let row = 0; row < a.rows; row++) {
      const factors = a.row(row)
      sums.fill(0)
      let k = 0
      for (; k + 4 <= a.width; k += 4) addFour(sums, b, k, factors)
      for (; k < a.width; k++) b.row(k).forEach((value, column) => (sums[column] += factors[k] * value))
      result.data.set(sums, row * b.width)
    }
    return result
  }

  // Rows k..k + 3 of b, each times its factor.
  function addFour(sums, b, k, factors) {
    const { data, width } = b
    const factor0 = factors[k]
    const factor1 = factors[k + 1]
    const factor2 = factors[k + 2]
    const factor3 = factors[k + 3]
    const y0 = k * width
    const y1 = y0 + width
    const y2 = y1 + width
    const y3 = y2 + width
    for (let column = 0; column < width; column++) {
      const left = factor0 * data[y0 + column] + factor1 * data[y1 + column]
      const right = factor2 * data[y2 + column] + factor3 * data[y3 + column]
      sums[column] += left + right
    }
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

  // x times the probability that a standard normal number is below x, approximated as in training.
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
        const parts = value instanceof Module ? { [name]: value } : {}
        if (Array.isArray(value)) value.forEach((part, i) => (parts[`${name}.${i}`] = part))
        for (const [path, part] of Object.entries(parts)) yield* part.namedParameters(`${path}.`)
        if (value === null || value instanceof Matrix || value instanceof Float32Array) yield [name, this, field]
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
