// Greets from goroutines, in order, and exits with the code that it is asked for: `hello-go 3`.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
)

const greeters = 3

func main() {
	name := os.Getenv("POD_NAME")
	if name == "" {
		name = "nowhere"
	}
	var lines [greeters]string
	var group sync.WaitGroup
	for i := range lines {
		group.Go(func() { lines[i] = fmt.Sprintf("hello %d from Go in %s", i+1, name) })
	}
	group.Wait()
	for _, line := range lines {
		fmt.Println(line)
	}
	if len(os.Args) > 1 {
		code, err := strconv.Atoi(os.Args[1])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		os.Exit(code)
	}
}
