// Package gofold runs the folds of Logic kind go: those that this program was built
// with (package worker). A run is one more process of this program, isolated, which
// reads the files of events itself; nothing passes between the processes but what
// is to be run and what came of it. A program that imports the package calls Child
// first of all in main.
package gofold
