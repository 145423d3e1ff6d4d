package llama

import (
	"fmt"
	"runtime"
	"strings"

	binding "github.com/hybridgroup/yzma/pkg/llama"
)

// device is what computes.
type device struct {
	metal       bool
	handle      binding.GGMLBackendDevice
	description string
	// reason says why it was chosen.
	reason string
}

func (d device) name() string {
	if d.metal {
		return BackendMetal
	}
	return BackendCPU
}

// chooseDevice finds the device of a backend among those that the libraries
// found on this machine.
func chooseDevice(want string) (device, error) {
	cpu := device{reason: "asked for"}
	var metal device
	var seen []string
	for i := range binding.GGMLBackendDeviceCount() {
		handle := binding.GGMLBackendDeviceGet(i)
		description := strings.TrimSpace(binding.GGMLBackendDeviceDescription(handle))
		family := binding.GGMLBackendRegName(binding.GGMLBackendDeviceBackendReg(handle))
		seen = append(seen, family+" "+description)
		switch kind := binding.GGMLBackendDevType(handle); {
		case kind == binding.GGMLBackendDeviceTypeCPU && cpu.handle == 0:
			cpu.handle, cpu.description = handle, description
		case isMetal(family) && metal.handle == 0:
			metal = device{metal: true, handle: handle, description: description, reason: "asked for"}
		}
	}
	if cpu.handle == 0 {
		return device{}, &DeviceError{Backend: BackendCPU, Reason: fmt.Sprintf("the libraries found no processor they can use, only %q", seen)}
	}
	switch {
	case want == BackendCPU:
		return cpu, nil
	case metal.handle != 0:
		if want == BackendAuto {
			metal.reason = "there is a Metal device"
		}
		return metal, nil
	}
	why := "the libraries found no Metal device, only " + strings.Join(seen, ", ")
	if runtime.GOOS != "darwin" {
		why = "Metal exists on macOS only, and this is " + runtime.GOOS
	}
	if want == BackendMetal {
		return device{}, &DeviceError{Backend: BackendMetal, Reason: why}
	}
	cpu.reason = why + ": using the CPU"
	return cpu, nil
}

// isMetal recognises the registration's name, which was Metal and is MTL now.
func isMetal(family string) bool {
	return strings.EqualFold(family, "metal") || strings.EqualFold(family, "mtl")
}

// room is the memory that a model on this device may take, before the model.
func (d device) room() (Room, error) {
	if d.metal {
		free, _ := binding.GGMLBackendDeviceMemory(d.handle)
		// What macOS recommends leaves room for everybody else already; a part is
		// kept for what changes while we run.
		return Room{Free: free, Source: "Metal's recommended working set", Reserve: free / 16}, nil
	}
	m, err := ProbeMemory()
	if err != nil {
		return Room{}, err
	}
	return Room{Free: m.Free, Source: m.Source, Reserve: min(m.Free/8, 4<<30)}, nil
}
