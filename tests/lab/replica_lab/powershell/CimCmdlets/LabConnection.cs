// Copyright (c) 2026, hyperv.replica contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

using System;
using System.Collections;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Management.Automation;
using System.Net.Sockets;
using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Management.Infrastructure;

namespace ReplicaLab
{
    /// <summary>
    /// The way to the world: one JSON object a line, over a loopback connection to the lab that started this process.
    /// What each line holds is written in the lab's cim_front.py.
    /// </summary>
    internal static class LabConnection
    {
        private const uint TimedOut = 0x80041069; // WBEM_E_TIMED_OUT
        private const uint Unreachable = 0x800706BA; // RPC_S_SERVER_UNAVAILABLE

        private static TcpClient s_client;
        private static StreamReader s_answers;

        /// <summary>Ask, and wait for the answer; 0 seconds wait without end. Throws what the answer says.</summary>
        public static JsonElement Ask(JsonObject request, uint timeoutSeconds)
        {
            string line;
            try
            {
                Connect();
                s_client.ReceiveTimeout = (int)Math.Min(timeoutSeconds * 1000L, int.MaxValue);
                request["token"] = Environment.GetEnvironmentVariable("REPLICA_LAB_TOKEN");
                s_client.GetStream().Write(Encoding.UTF8.GetBytes(request.ToJsonString() + "\n"));
                line = s_answers.ReadLine();
            }
            catch (IOException e) when (e.InnerException is SocketException { SocketErrorCode: SocketError.TimedOut or SocketError.WouldBlock })
            {
                s_client.Dispose(); // the late answer must not be taken for the next one
                s_client = null;
                throw Errors.Cim(1, 1, TimedOut, 15, "The operation took too long.");
            }
            catch (Exception e) when (e is IOException or SocketException or FormatException)
            {
                throw Errors.Cim(1, 1, Unreachable, 21, "No lab answers: " + e.Message);
            }

            if (line == null)
            {
                throw Errors.Cim(1, 1, Unreachable, 21, "The lab has ended.");
            }

            JsonElement answer = JsonDocument.Parse(line).RootElement;
            return answer.TryGetProperty("error", out JsonElement error) ? throw Errors.Read(error) : answer;
        }

        private static void Connect()
        {
            if (s_client == null)
            {
                string[] address = (Environment.GetEnvironmentVariable("REPLICA_LAB_CIM") ?? "no lab").Split(':');
                s_client = new TcpClient(address[0], int.Parse(address[^1]));
                s_answers = new StreamReader(s_client.GetStream(), Encoding.UTF8);
            }
        }
    }

    /// <summary>The exceptions of the real cmdlets.</summary>
    internal static class Errors
    {
        private static readonly ConstructorInfo s_cimException = typeof(CimException)
            .GetConstructors(BindingFlags.Instance | BindingFlags.NonPublic)
            .Single(c => c.GetParameters().Length == 4);

        public static Exception Read(JsonElement error)
        {
            string message = error.GetProperty("message").GetString();
            return error.GetProperty("exception").GetString() switch
            {
                "ArgumentException" => new ArgumentException(message),
                "InvalidCastException" => new InvalidCastException(message),
                "OverflowException" => new OverflowException(message),
                "NullReferenceException" => new NullReferenceException(message),
                _ => Cim(
                    error.GetProperty("native").GetInt32(),
                    error.GetProperty("status").GetUInt32(),
                    error.GetProperty("hresult").GetUInt32(),
                    error.GetProperty("category").GetUInt16(),
                    message),
            };
        }

        /// <summary>A CimException with its error data, an MSFT_WmiError.</summary>
        public static CimException Cim(int native, uint status, uint hresult, ushort category, string message)
        {
            var data = new NativeInstance("MSFT_WmiError", null, null, new List<Element>
            {
                new Element { Name = "CIMStatusCode", Type = CimType.UInt32, Value = status },
                new Element { Name = "ErrorSource", Type = CimType.String },
                new Element { Name = "ErrorType", Type = CimType.UInt16, Value = (ushort)0 },
                new Element { Name = "Message", Type = CimType.String, Value = message },
                new Element { Name = "MessageID", Type = CimType.String, Value = $"HRESULT 0x{hresult:x8}" },
                new Element { Name = "PerceivedSeverity", Type = CimType.UInt16, Value = (ushort)2 },
                new Element { Name = "ProbableCause", Type = CimType.UInt16, Value = (ushort)0 },
                new Element { Name = "error_Category", Type = CimType.UInt16, Value = category },
                new Element { Name = "error_Code", Type = CimType.UInt32, Value = hresult },
                new Element { Name = "error_Type", Type = CimType.String, Value = "HRESULT" },
                new Element { Name = "error_WindowsErrorMessage", Type = CimType.String, Value = message },
            }, fromHost: true);
            object result = Enum.ToObject(s_cimException.GetParameters()[0].ParameterType, native);
            return (CimException)s_cimException.Invoke(new[] { result, message, data.Handle, message });
        }
    }

    /// <summary>Values as JSON, and back by their CIM type.</summary>
    internal static class Values
    {
        private static readonly Dictionary<string, CimType> s_types = new()
        {
            ["boolean"] = CimType.Boolean, ["string"] = CimType.String, ["datetime"] = CimType.DateTime,
            ["uint8"] = CimType.UInt8, ["uint16"] = CimType.UInt16, ["uint32"] = CimType.UInt32, ["uint64"] = CimType.UInt64,
            ["int8"] = CimType.SInt8, ["int16"] = CimType.SInt16, ["int32"] = CimType.SInt32, ["int64"] = CimType.SInt64,
        };

        public static CimType TypeOf(string name) => name switch
        {
            _ when name.EndsWith("[]") => TypeOf(name[..^2]) + (CimType.BooleanArray - CimType.Boolean),
            _ when name.StartsWith("ref ") => CimType.Reference,
            _ => s_types[name],
        };

        public static object Read(JsonElement json, CimType type)
        {
            if (json.ValueKind == JsonValueKind.Null)
            {
                return null;
            }

            if (json.ValueKind == JsonValueKind.Array)
            {
                CimType itemType = type - (CimType.BooleanArray - CimType.Boolean);
                Type held = itemType == CimType.Reference
                    ? typeof(NativeInstance) : CimConverter.GetDotNetType(itemType) ?? typeof(DateTime);
                Array items = Array.CreateInstance(held, json.GetArrayLength());
                int i = 0;
                foreach (JsonElement item in json.EnumerateArray())
                {
                    items.SetValue(Read(item, itemType), i++);
                }

                return items;
            }

            return type switch
            {
                CimType.Boolean => json.GetBoolean(),
                CimType.String => json.GetString(),
                CimType.UInt8 => json.GetByte(),
                CimType.UInt16 => json.GetUInt16(),
                CimType.UInt32 => json.GetUInt32(),
                CimType.UInt64 => json.GetUInt64(),
                CimType.SInt8 => json.GetSByte(),
                CimType.SInt16 => json.GetInt16(),
                CimType.SInt32 => json.GetInt32(),
                CimType.SInt64 => json.GetInt64(),
                CimType.Reference => Instances.ReadReference(json),
                CimType.DateTime when json.ValueKind == JsonValueKind.Number => TimeSpan.FromTicks(json.GetInt64() * 10),
                _ => json.GetDateTime(),
            };
        }

        /// <summary>An argument or a key; what JSON has no place for is told by the name of its type.</summary>
        public static JsonNode Write(object value)
        {
            value = value is PSObject wrapped ? wrapped.BaseObject : value;
            return value switch
            {
                null => null,
                bool v => v,
                string v => v,
                byte or sbyte or short or ushort or int or uint or long => Convert.ToInt64(value),
                ulong v => v,
                char v => v.ToString(),
                Enum v => Convert.ToInt64(v),
                DateTime v => new JsonObject { ["datetime"] = v.ToUniversalTime().ToString("yyyy-MM-ddTHH:mm:ss.ffffffZ") },
                TimeSpan v => new JsonObject { ["interval"] = v.Ticks / 10 },
                CimInstance v => new JsonObject { ["reference"] = Instances.WriteReference(v) },
                NativeInstance v => new JsonObject { ["reference"] = Instances.WriteReference(v) },
                IList v => new JsonArray(v.Cast<object>().Select(Write).ToArray()),
                _ => new JsonObject { ["other"] = value.GetType().FullName },
            };
        }
    }

    /// <summary>Instances out of answers, and references into requests.</summary>
    internal static class Instances
    {
        public const string Namespace = "root/virtualization/v2";

        /// <summary>The instances of an answer: classes with their properties first, then a row of values each.</summary>
        public static IEnumerable<PSObject> Read(JsonElement answer)
        {
            Dictionary<string, List<(string Name, CimType Type, CimFlags Flags)>> classes = answer.GetProperty("classes")
                .EnumerateObject().ToDictionary(c => c.Name, c => c.Value.EnumerateArray().Select(Property).ToList());
            string host = answer.GetProperty("host").GetString();
            foreach (JsonElement row in answer.GetProperty("instances").EnumerateArray())
            {
                string className = row[0].GetString();
                IEnumerable<Element> elements = classes[className].Zip(row[1].EnumerateArray(), (property, value) => new Element
                {
                    Name = property.Name,
                    Type = property.Type,
                    Flags = property.Flags,
                    Value = Values.Read(value, property.Type),
                });
                yield return Show(new NativeInstance(className, Namespace, host, elements.ToList(), fromHost: true));
            }
        }

        private static (string Name, CimType Type, CimFlags Flags) Property(JsonElement json)
        {
            CimFlags flags = CimFlags.Property | CimFlags.ReadOnly | CimFlags.NotModified;
            return (json[0].GetString(), Values.TypeOf(json[1].GetString()), json[2].GetBoolean() ? flags | CimFlags.Key : flags);
        }

        /// <summary>
        /// The object that a script sees. The infrastructure for Linux cannot give out a property that holds a
        /// reference, so those are laid over it.
        /// </summary>
        public static PSObject Show(NativeInstance native)
        {
            PSObject shown = PSObject.AsPSObject(native.ToCimInstance());
            foreach (Element element in native.Elements.Where(e => e.Value is NativeInstance))
            {
                shown.Properties.Add(new PSNoteProperty(element.Name, Show((NativeInstance)element.Value)));
            }

            return shown;
        }

        public static NativeInstance ReadReference(JsonElement json)
        {
            List<Element> keys = json.GetProperty("keys").EnumerateObject().Select(key => new Element
            {
                Name = key.Name,
                Type = CimType.String,
                Flags = CimFlags.Property | CimFlags.Key,
                Value = key.Value.GetString(),
            }).ToList();
            return new NativeInstance(json.GetProperty("class").GetString(), Namespace, null, keys, fromHost: true);
        }

        public static JsonObject WriteReference(CimInstance instance) => WriteReference(NativeInstance.Of(instance));

        public static JsonObject WriteReference(NativeInstance native)
        {
            var keys = new JsonObject();
            foreach (Element key in native.Elements.Where(e => e.Flags.HasFlag(CimFlags.Key)))
            {
                keys[key.Name] = Values.Write(key.Value);
            }

            return new JsonObject
            {
                ["class"] = native.ClassName,
                ["namespace"] = native.Namespace,
                ["keys"] = keys,
                ["from_host"] = native.FromHost,
            };
        }
    }
}
