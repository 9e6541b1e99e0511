package sandbox

// stackRegister is which of the general registers is the stack pointer.
const stackRegister = 31
