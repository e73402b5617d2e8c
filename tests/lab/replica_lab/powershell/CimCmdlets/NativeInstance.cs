// Copyright (c) 2026, hyperv.replica contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Runtime.InteropServices;
using Microsoft.Management.Infrastructure;

namespace ReplicaLab
{
    /// <summary>One property of an instance: what a CimProperty shows.</summary>
    internal sealed class Element
    {
        public string Name;
        public CimType Type;
        public CimFlags Flags;
        public object Value;
        internal IntPtr NativeName;
        internal IntPtr NativeValue;
    }

    /// <summary>
    /// The native side of a real Microsoft.Management.Infrastructure.CimInstance, where there is no libmi.
    ///
    /// PowerShell brings the managed management infrastructure to Linux as well; what it lacks is the C library that
    /// holds the instances. A CimInstance is a wrapper around an MI_Instance: a structure that begins with a pointer to
    /// a table of functions (MI.h). This class makes such structures out of managed objects, read-only, so that scripts
    /// get CimInstance itself and not a look-alike. What is allocated lives as long as the process: one module run.
    /// </summary>
    internal sealed unsafe class NativeInstance
    {
        private const int Ok = 0;
        private const int NotSupported = 7;
        private const int NoSuchProperty = 12;
        private const uint NullFlag = 0x20000000;
        private const int SizeOfValue = 40; // the union MI_Value: its largest member is a datetime
        private const int StateSlot = 4; // MI_Instance: ft, classDecl, serverName, nameSpace, reserved[4]

        private static readonly IntPtr* s_functions = Functions();
        private static readonly ConstructorInfo s_cimInstance = typeof(CimInstance)
            .GetConstructors(BindingFlags.Instance | BindingFlags.NonPublic)
            .Single(c => c.GetParameters()[0].ParameterType.Name == "MI_Instance");
        private static readonly Type s_handle = s_cimInstance.GetParameters()[0].ParameterType;
        private static readonly MethodInfo s_fromPointer = s_handle.GetMethod(
            "NewFromDirectPtr", BindingFlags.Static | BindingFlags.NonPublic);
        private static readonly PropertyInfo s_handleOf = typeof(CimInstance).GetProperty(
            "InstanceHandle", BindingFlags.Instance | BindingFlags.NonPublic);
        private static readonly PropertyInfo s_pointerOf = s_handle.GetProperty(
            "Ptr", BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.FlattenHierarchy);

        public readonly string ClassName;
        public readonly string Namespace;
        public readonly string ServerName;
        public readonly IReadOnlyList<Element> Elements;

        /// <summary>Whether it came from the host, which is when the real one knows its class.</summary>
        public readonly bool FromHost;

        private readonly IntPtr _className;
        private readonly IntPtr _namespace;
        private readonly IntPtr _serverName;
        private readonly IntPtr _pointer;

        public NativeInstance(string className, string space, string serverName, IReadOnlyList<Element> elements, bool fromHost)
        {
            ClassName = className;
            Namespace = space;
            ServerName = serverName;
            Elements = elements;
            FromHost = fromHost;
            _className = Text(className);
            _namespace = Text(space);
            _serverName = Text(serverName);
            _pointer = NewStructure(this);
        }

        /// <summary>The MI_Instance handle that wraps it, as internal members of the infrastructure take it.</summary>
        public object Handle => s_fromPointer.Invoke(null, new object[] { _pointer });

        public CimInstance ToCimInstance() => (CimInstance)s_cimInstance.Invoke(new[] { Handle });

        /// <summary>What is behind a CimInstance that was made here.</summary>
        public static NativeInstance Of(CimInstance instance) =>
            State((IntPtr)s_pointerOf.GetValue(s_handleOf.GetValue(instance)));

        private static IntPtr NewStructure(NativeInstance state)
        {
            var structure = (IntPtr*)NativeMemory.AllocZeroed(8, (nuint)sizeof(IntPtr));
            structure[0] = (IntPtr)s_functions;
            structure[StateSlot] = GCHandle.ToIntPtr(GCHandle.Alloc(state));
            return (IntPtr)structure;
        }

        private static NativeInstance State(IntPtr self) =>
            (NativeInstance)GCHandle.FromIntPtr(((IntPtr*)self)[StateSlot]).Target;

        private static IntPtr Text(string value) => value == null ? IntPtr.Zero : Marshal.StringToCoTaskMemUTF8(value);

        // --- the function table, in the order of MI_InstanceFT ---

        private static IntPtr* Functions()
        {
            // What changes an instance is refused, whatever its arguments are: in C, surplus ones are left unread.
            IntPtr refuse = (IntPtr)(delegate* unmanaged<IntPtr, int>)&Refuse;
            IntPtr ignore = (IntPtr)(delegate* unmanaged<IntPtr, int>)&Ignore;
            IntPtr[] functions =
            {
                (IntPtr)(delegate* unmanaged<IntPtr, IntPtr*, int>)&Clone,
                ignore, // Destruct
                ignore, // Delete
                refuse, // IsA
                (IntPtr)(delegate* unmanaged<IntPtr, IntPtr*, int>)&GetClassName,
                refuse, // SetNameSpace
                (IntPtr)(delegate* unmanaged<IntPtr, IntPtr*, int>)&GetNamespace,
                (IntPtr)(delegate* unmanaged<IntPtr, uint*, int>)&GetElementCount,
                refuse, // AddElement
                refuse, // SetElement
                refuse, // SetElementAt
                (IntPtr)(delegate* unmanaged<IntPtr, IntPtr, byte*, int*, uint*, uint*, int>)&GetElement,
                (IntPtr)(delegate* unmanaged<IntPtr, uint, IntPtr*, byte*, int*, uint*, int>)&GetElementAt,
                refuse, // ClearElement
                refuse, // ClearElementAt
                (IntPtr)(delegate* unmanaged<IntPtr, IntPtr*, int>)&GetServerName,
                refuse, // SetServerName
                refuse, // GetClass: CimClass is null
            };
            var table = (IntPtr*)NativeMemory.Alloc((nuint)functions.Length, (nuint)sizeof(IntPtr));
            for (int i = 0; i < functions.Length; i++)
            {
                table[i] = functions[i];
            }

            return table;
        }

        [UnmanagedCallersOnly]
        private static int Refuse(IntPtr self) => NotSupported;

        [UnmanagedCallersOnly]
        private static int Ignore(IntPtr self) => Ok;

        [UnmanagedCallersOnly]
        private static int Clone(IntPtr self, IntPtr* copy)
        {
            *copy = NewStructure(State(self));
            return Ok;
        }

        [UnmanagedCallersOnly]
        private static int GetClassName(IntPtr self, IntPtr* text)
        {
            *text = State(self)._className;
            return Ok;
        }

        [UnmanagedCallersOnly]
        private static int GetNamespace(IntPtr self, IntPtr* text)
        {
            *text = State(self)._namespace;
            return Ok;
        }

        [UnmanagedCallersOnly]
        private static int GetServerName(IntPtr self, IntPtr* text)
        {
            *text = State(self)._serverName;
            return Ok;
        }

        [UnmanagedCallersOnly]
        private static int GetElementCount(IntPtr self, uint* count)
        {
            *count = (uint)State(self).Elements.Count;
            return Ok;
        }

        [UnmanagedCallersOnly]
        private static int GetElement(IntPtr self, IntPtr name, byte* value, int* type, uint* flags, uint* index)
        {
            string wanted = Marshal.PtrToStringUTF8(name);
            IReadOnlyList<Element> elements = State(self).Elements;
            for (int i = 0; i < elements.Count; i++)
            {
                if (string.Equals(elements[i].Name, wanted, StringComparison.OrdinalIgnoreCase))
                {
                    Write(elements[i], value, type, flags);
                    *index = (uint)i;
                    return Ok;
                }
            }

            return NoSuchProperty;
        }

        [UnmanagedCallersOnly]
        private static int GetElementAt(IntPtr self, uint index, IntPtr* name, byte* value, int* type, uint* flags)
        {
            IReadOnlyList<Element> elements = State(self).Elements;
            if (index >= elements.Count)
            {
                return NoSuchProperty;
            }

            Element element = elements[(int)index];
            if (element.NativeName == IntPtr.Zero)
            {
                element.NativeName = Text(element.Name);
            }

            *name = element.NativeName;
            Write(element, value, type, flags);
            return Ok;
        }

        // --- values (MI_Value is a union; CimType counts from 1, MI_Type from 0) ---

        private static void Write(Element element, byte* value, int* type, uint* flags)
        {
            *type = (int)element.Type - 1;
            *flags = (uint)element.Flags | (element.Value == null ? NullFlag : 0);
            if (element.Value == null || value == null)
            {
                return;
            }

            if (element.NativeValue == IntPtr.Zero)
            {
                element.NativeValue = (IntPtr)NativeMemory.AllocZeroed(SizeOfValue);
                WriteValue(element.Value, (byte*)element.NativeValue);
            }

            Buffer.MemoryCopy((void*)element.NativeValue, value, SizeOfValue, SizeOfValue);
        }

        private static void WriteValue(object value, byte* block)
        {
            if (value is Array array)
            {
                int size = SizeOf(array.GetType().GetElementType());
                var items = (byte*)NativeMemory.AllocZeroed((nuint)Math.Max(array.Length * size, 1));
                for (int i = 0; i < array.Length; i++)
                {
                    WriteItem(array.GetValue(i), items + (i * size));
                }

                *(IntPtr*)block = (IntPtr)items;
                *(uint*)(block + sizeof(IntPtr)) = (uint)array.Length;
                return;
            }

            WriteItem(value, block);
        }

        private static int SizeOf(Type type) => type switch
        {
            _ when type == typeof(bool) || type == typeof(byte) || type == typeof(sbyte) => 1,
            _ when type == typeof(ushort) || type == typeof(short) => 2,
            _ when type == typeof(uint) || type == typeof(int) => 4,
            _ when type == typeof(DateTime) || type == typeof(TimeSpan) => 36,
            _ => 8,
        };

        private static void WriteItem(object value, byte* place)
        {
            switch (value)
            {
                case bool v: *place = v ? (byte)1 : (byte)0; break;
                case byte v: *place = v; break;
                case sbyte v: *(sbyte*)place = v; break;
                case ushort v: *(ushort*)place = v; break;
                case short v: *(short*)place = v; break;
                case uint v: *(uint*)place = v; break;
                case int v: *(int*)place = v; break;
                case ulong v: *(ulong*)place = v; break;
                case long v: *(long*)place = v; break;
                case double v: *(double*)place = v; break;
                case string v: *(IntPtr*)place = Text(v); break;
                case NativeInstance v: *(IntPtr*)place = v._pointer; break;
                case DateTime v: WriteTimestamp(v.ToUniversalTime(), (uint*)place); break;
                case TimeSpan v: WriteInterval(v, (uint*)place); break;
                default: throw new NotSupportedException(value.GetType().FullName);
            }
        }

        private static void WriteTimestamp(DateTime utc, uint* place)
        {
            place[0] = 1;
            place[1] = (uint)utc.Year;
            place[2] = (uint)utc.Month;
            place[3] = (uint)utc.Day;
            place[4] = (uint)utc.Hour;
            place[5] = (uint)utc.Minute;
            place[6] = (uint)utc.Second;
            place[7] = (uint)(utc.Ticks % TimeSpan.TicksPerSecond / 10);
            place[8] = 0;
        }

        private static void WriteInterval(TimeSpan span, uint* place)
        {
            place[0] = 0;
            place[1] = (uint)span.Days;
            place[2] = (uint)span.Hours;
            place[3] = (uint)span.Minutes;
            place[4] = (uint)span.Seconds;
            place[5] = (uint)(span.Ticks % TimeSpan.TicksPerSecond / 10);
        }
    }
}
