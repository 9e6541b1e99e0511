// Package enginetest is the conformance suite of engine.Engine, and the builder
// of its inputs, which other tests may use. It knows no engine: each runs the
// suite from a test of its own.
package enginetest
